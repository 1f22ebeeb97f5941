"""Fit conversations to a model's own chat template, and count the tokens of their prompts.

    fit(messages)    the conversation in an order of roles that the template accepts: system
                     messages merged and moved, turns of one role joined, only where it must be
    count(messages)  the length of the prompt in tokens, as the server itself makes it

Templates are programs, and only running one shows what it accepts: the server runs it on two
probes (``POST /apply-template``), once, when a conversation has an order of roles that some
templates refuse.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from rocm_core.backend import Connection
from rocm_core.client import Deadline, Messages, Steps, arun_steps, as_message, calls, run_steps
from rocm_core.config import Timeouts
from rocm_core.errors import EndpointNotFound, HTTPStatusError
from rocm_core.model.steps import AsyncSender, Ready, RequestSteps, Sender
from rocm_core.requests import refuse_long_runs_in_messages, refuse_unanswered
from rocm_core.types import ServerProps

Conversation = Sequence[Mapping[str, Any]]
MessagesFor = Callable[[ServerProps], Messages]
_REMEMBERED = 512
_EMPTY_LINE = "\n\n"
_TURNS = ("user", "assistant")
# The status codes by which servers, and proxies in front of them, say: no such endpoint.
_ABSENT = (404, 405, 501)


@dataclass(slots=True, eq=False)
class Demands:
    """The order of roles that a template demands.

    Attributes:
        no_system: no system message at all.
        leading_system: a system message comes first, or not at all.
        alternating: no two turns of the user, or of the assistant, in a row.
    """

    no_system: bool = False
    leading_system: bool = False
    alternating: bool = False


# ---------------------------------------------------------------------------
# Pure
# ---------------------------------------------------------------------------

_LATE_SYSTEM = [
    {"role": "user", "content": "probe-1"},
    {"role": "assistant", "content": "probe-2"},
    {"role": "system", "content": "probe-3"},
    {"role": "user", "content": "probe-4"},
]
_TWO_USER = [{"role": "user", "content": "probe-1"}, {"role": "user", "content": "probe-2"}]


def merged_head(messages: Conversation) -> list[dict[str, Any]]:
    """Return the messages, the leading system messages as one: no template refuses that."""
    result = [dict(message) for message in messages]
    while len(result) > 1 and result[0]["role"] == result[1]["role"] == "system":
        result[0] = _joined(result[0], result.pop(1))
    return result


def questionable(messages: Conversation) -> bool:
    """Return whether some templates refuse this order of roles."""
    roles = [message["role"] for message in merged_head(messages)]
    return "system" in roles[1:] or any(
        a == b and a in _TURNS for a, b in itertools.pairwise(roles)
    )


def fitted(messages: Conversation, demands: Demands) -> list[dict[str, Any]]:
    """Return the conversation in an order that a template with these demands accepts."""
    result = merged_head(messages)
    if demands.leading_system or demands.no_system:
        system = [m for m in result if m["role"] == "system"]
        rest = [m for m in result if m["role"] != "system"]
        result = merged_head([*system, *rest])
    if demands.no_system and result and result[0]["role"] == "system":
        result[0]["role"] = "user"
        if len(result) > 1 and result[1]["role"] == "user":
            result[0] = _joined(result[0], result.pop(1))
    if demands.alternating:
        result = _alternating(result)
    return result


def _alternating(messages: Conversation) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for message in messages:
        last = result[-1] if result else None
        same = last is not None and last["role"] == message["role"] in _TURNS
        if last is not None and same and not last.get("tool_calls"):
            result[-1] = _joined(last, message)
        else:
            result.append(dict(message))
    return result


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    a, b = one.get("content") or "", other.get("content") or ""
    if isinstance(a, str) and isinstance(b, str):
        content: Any = _EMPTY_LINE.join(text for text in (a, b) if text)
    else:
        content = [*_parts(a), *_parts(b)]
    return {**one, **other, "content": content, "role": one["role"]}


def _parts(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


# ---------------------------------------------------------------------------
# With the server
# ---------------------------------------------------------------------------


class ChatTemplate:
    """The chat template of one model, run by its server. Thread-safe.

    Args:
        connection: returns the connection to the server; raises ``ServerStopped`` once the model
            was closed.
        limits: of a call that brings no deadline.
    """

    def __init__(self, connection: Callable[[], Connection], limits: Timeouts) -> None:
        self._connection = connection
        self._limits = limits
        self._accepts: tuple[bool, ...] | None = None
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def fit(self, messages: Conversation, deadline: Deadline | None = None) -> list[dict[str, Any]]:
        """Return the conversation in an order of roles that the template accepts.

        Args:
            messages: the conversation.
            deadline: of the call that needs it; ``None``: one of the model's limits.

        Raises:
            RocmError: the server cannot be started or reached.
        """
        steps = self._fit(messages, deadline or Deadline(self._limits))
        return run_steps(steps, Sender(self._connection).perform)

    async def afit(
        self, messages: Conversation, deadline: Deadline | None = None
    ) -> list[dict[str, Any]]:
        """``fit`` for asyncio."""
        steps = self._fit(messages, deadline or Deadline(self._limits))
        return await arun_steps(steps, AsyncSender(self._connection).perform)

    def count(
        self,
        messages: Messages | MessagesFor,
        deadline: Deadline | None = None,
        *,
        fit_template: bool = False,
        **fields: Any,
    ) -> int:
        """Return the length of a conversation's prompt; see ``TextModel.count_tokens``."""
        steps = self._count(messages, deadline or Deadline(self._limits), fit_template, fields)
        return run_steps(steps, Sender(self._connection).perform)

    async def acount(
        self,
        messages: Messages | MessagesFor,
        deadline: Deadline | None = None,
        *,
        fit_template: bool = False,
        **fields: Any,
    ) -> int:
        """``count`` for asyncio."""
        steps = self._count(messages, deadline or Deadline(self._limits), fit_template, fields)
        return await arun_steps(steps, AsyncSender(self._connection).perform)

    def fitting(self, messages: Conversation, props: ServerProps) -> Steps[list[dict[str, Any]]]:
        """Fit a conversation to the template of a server that is ready and has these facts."""
        accepts: tuple[bool, ...] = (True, True)
        if questionable(messages):
            if self._accepts is None:
                self._accepts = (
                    (yield from _accepts(_LATE_SYSTEM)),
                    (yield from _accepts(_TWO_USER)),
                )
            accepts = self._accepts
        return fitted(messages, _demands(props, accepts))

    def _fit(
        self, messages: Conversation, deadline: Deadline
    ) -> RequestSteps[list[dict[str, Any]]]:
        _, props = yield Ready(deadline)
        return (yield from self.fitting(messages, props))

    def _count(
        self,
        given: Messages | MessagesFor,
        deadline: Deadline,
        fit_template: bool,
        fields: Mapping[str, Any],
    ) -> RequestSteps[int]:
        ready = callable(given) or fit_template
        messages = [] if callable(given) else _countable(given)
        if ready:
            _, props = yield Ready(deadline)
        if callable(given):
            messages = _countable(given(props))
        if fit_template:
            messages = yield from self.fitting(messages, props)
        key = _key(messages, fields)
        if (known := self._counts.get(key)) is not None:
            return known
        if not ready:
            yield Ready(deadline)
        try:
            found: int = yield calls.count_tokens(messages, **fields)
        except EndpointNotFound:
            prompt = yield calls.apply_template(messages, **fields)
            found = len((yield calls.tokenize(prompt, add_special=True)))
        return self._remember(key, found)

    def _remember(self, key: bytes, count: int) -> int:
        self._counts[key] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count


def _countable(messages: Messages) -> list[dict[str, Any]]:
    found = [as_message(message) for message in messages]
    refuse_unanswered(found)
    refuse_long_runs_in_messages(found)
    return found


def _accepts(probe: Conversation) -> Steps[bool]:
    """Ask whether the template takes a conversation, and shows all of it.

    Raises:
        HTTPStatusError: the answer says nothing about the template: the server is busy or loading,
            the key is wrong, a proxy failed.
    """
    try:
        prompt = yield calls.apply_template(probe)
    except HTTPStatusError as error:
        if error.status in _ABSENT:
            return True
        if not _about_the_template(error):
            raise
        return False
    # Some templates drop silently what they do not expect.
    return all(message["content"] in prompt for message in probe)


def _about_the_template(error: HTTPStatusError) -> bool:
    # llama-server says 400, older builds 500; its own errors have a type, those of proxies none.
    return error.status in (400, 422) or (error.status == 500 and bool(error.type))


def _demands(props: ServerProps, accepts: Sequence[bool]) -> Demands:
    return Demands(
        no_system=props.chat_template_caps.get("supports_system_role") is False,
        leading_system=not accepts[0],
        alternating=not accepts[1],
    )


def _key(messages: Conversation, fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps([list(messages), fields], option=orjson.OPT_NON_STR_KEYS)
