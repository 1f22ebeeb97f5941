"""Send one smallest request to a model's server, in the way its real requests go."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Literal

from rocm_core.backend import Connection
from rocm_core.client import Call, Chat, Completion, Deadline, GenerationRequest, calls, run_steps
from rocm_core.config import GenerateConfig

HI = [{"role": "user", "content": "Hi"}]
_ONE_TOKEN = GenerateConfig(max_tokens=1, temperature=0.0)
Smallest = Literal["chat", "completion", "decision"]


def send_one(connection: Connection, deadline: Deadline, kind: Smallest) -> str:
    """Generate one token, or one vector or score if the model was loaded for those.

    Through the connection: its queue, its dialect, and the template if the dialect has no chats.

    Args:
        connection: the model's.
        deadline: of all of this.
        kind: what to send: a conversation, a finished prompt, or a typed question.

    Returns:
        What came, from where.

    Raises:
        RocmError: it failed.
    """
    connection.ready(None, deadline)
    call, what = _whole(connection, kind)
    if call is not None:
        with connection.limiter.ticket(deadline):
            connection.client.call(call, deadline)
        return f"{what} from POST {call.path}"
    return _generate(connection, deadline, kind == "chat")


def _whole(connection: Connection, kind: Smallest) -> tuple[Call[Any] | None, str]:
    if kind == "decision":
        from rocm_core.decisions import YesNo

        return calls.decide("Hi", {"greeting": YesNo("Is this a greeting?")}), "one decision"
    if connection.config.rerank:
        return calls.rerank("Hi", ["Hi"]), "one score"
    if connection.config.embeddings:
        return calls.embeddings(["Hi"]), "one vector"
    return None, ""


def _generate(connection: Connection, deadline: Deadline, conversation: bool) -> str:
    client = connection.client
    request: GenerationRequest = Completion("Hi", _ONE_TOKEN)
    if conversation:
        request = Chat(HI, _ONE_TOKEN)
    with connection.limiter.ticket(deadline), connection.naming_options(request):
        steps = connection.call_steps(request)
        call = run_steps(steps, lambda asked: client.call(asked, deadline))
        with closing(client.stream(call, deadline)) as events:
            last = list(events)[-1:]
    usage = last[0].usage if last else None
    told = f", {usage.prompt_tokens} prompt tokens" if usage else ""
    return f"one token from POST {call.path}{told}"
