"""How a request becomes a stream of events, and when it is sent again.

    facts      the server is made ready, once; a request that depends on its facts is built
    prompt     stop ids are looked up, the messages fitted to the chat template
    queue      a place in the server's queue, a slot; held until the answer has ended
    stream     POST, and the first event
      └─ failed before its first event ─▶ ``Retries``: all of it once more, or the error

The procedure is written once (``Generation._begin``); the blocking and the asyncio generator
perform it and then differ only in their loop over the events.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from rocm_core.backend import Connection
from rocm_core.client import (
    Chat,
    Completion,
    Deadline,
    GenerationRequest,
    Infill,
    RequestFor,
    Steps,
    StreamCall,
    arun_steps,
    run_steps,
)
from rocm_core.config import Timeouts
from rocm_core.display.interrupts import tell_shortly
from rocm_core.errors import (
    AuthenticationError,
    HTTPStatusError,
    RocmError,
    ServerBusy,
    ServerDied,
    ServerLoading,
    ServerUnreachable,
)
from rocm_core.model.inputs.media import with_files
from rocm_core.model.steps import (
    AsyncSender,
    Hold,
    Open,
    Ready,
    Release,
    RequestSteps,
    Sender,
    ThinkFirst,
)
from rocm_core.model.template import ChatTemplate
from rocm_core.model.tokenizing.token_ids import StopIds, stopped_by_id
from rocm_core.requests import (
    refuse_long_run,
    refuse_long_runs_in_fields,
    refuse_long_runs_in_messages,
    refuse_unanswered,
)
from rocm_core.types import ServerProps, StreamEvent

# Errors of a request that no slot has taken yet: it may be sent again.
_TEMPORARY = (ServerBusy, ServerLoading, ServerUnreachable)
# What a proxy says while it cannot reach the server (RFC 9110, 15.6).
_TEMPORARY_STATUS = (502, 503, 504)
# All that Ray Serve's proxy says, with status 500, when the process behind it died before it had
# answered (``serve/_private/proxy.py``). llama-server has no error with this text.
_PROCESS_DIED = "Internal Server Error"
_MAX_PAUSE = 8.0
# Seconds: a server that asks for a longer pause (Retry-After) is not tried again.
_MAX_RETRY_AFTER = 60.0
_ALLOWED = " allow_long_runs=True sends it all the same."


class Retries:
    """Whether a request that failed before its first event is sent again, and when. Pure.

    A server that died is replaced at once, so the request is sent once more without a pause, and
    without counting. An error that may pass by itself counts, and is waited out.
    """

    def __init__(self, max_retries: int) -> None:
        """``max_retries``: how often to wait for an error to pass; 0 for never."""
        # One after the other: "always" may be written as a very large number.
        self._pauses = (min(0.5 * 2 ** min(n, 8), _MAX_PAUSE) for n in range(max_retries))
        self._replaced = False

    def pause_after(self, error: RocmError) -> float | None:
        """Return the seconds to wait before the next attempt; ``None`` if there is none."""
        if isinstance(error, ServerDied) and not self._replaced:
            self._replaced = True
            return 0.0
        by_status = isinstance(error, HTTPStatusError) and (
            error.status in _TEMPORARY_STATUS
            or (error.status == 500 and error.message == _PROCESS_DIED)
        )
        if not by_status and not isinstance(error, _TEMPORARY):
            return None
        self._replaced = False
        asked = error.retry_after or 0.0 if isinstance(error, HTTPStatusError) else 0.0
        pause = next(self._pauses, None)
        return None if pause is None or asked > _MAX_RETRY_AFTER else max(pause, asked)


class DraftCheck:
    """Warns once if a draft model takes memory and drafts nothing.

    Attributes:
        model: the draft model that was asked for; ``None`` for none.
    """

    model: str | Path | None = None
    _warned = False

    def check(self, last: StreamEvent | None) -> None:
        """Look at an answer's last event, which has its timings."""
        if self.model is None or self._warned or last is None or last.timings is None:
            return
        from rocm_core.diagnosis.load_result import nothing_drafted

        timings = last.timings
        problem = nothing_drafted(str(self.model), timings.predicted_n, timings.draft_n)
        if problem:
            self._warned = True
            warnings.warn(problem, RuntimeWarning, 3)


class LastError:
    """The exception of the last ``with`` block that ended, ``None`` if it succeeded.

    Any number may be open at once.

    Attributes:
        refusal_note: a sentence that is added to every ``AuthenticationError``.
    """

    error: BaseException | None = None
    refusal_note: str = ""

    def __enter__(self) -> None:
        """Nothing is kept of where it was entered."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        note = self.refusal_note
        if isinstance(error, AuthenticationError) and note and note not in str(error):
            error.args = (f"{error} {note}", *error.args[1:])
        # A consumer that stops early (GeneratorExit), perhaps when an abandoned iterator is
        # collected long after, and an interrupt say nothing about the server.
        if error is None or isinstance(error, Exception):
            self.error = error
        else:
            tell_shortly(error)


class Generation:
    """The generation of one model.

    Args:
        connection: returns the connection to the server; raises ``ServerStopped`` once the model
            was closed.
        template: the model's chat template, for requests whose messages are to be fitted to it.
        timeouts: limits of a request that brings no deadline.
        last_error: remembers how the last stream ended.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        template: ChatTemplate,
        timeouts: Timeouts,
        last_error: LastError,
    ) -> None:
        self._connection = connection
        self._template = template
        self.timeouts = timeouts
        self._last_error = last_error
        self._stop_ids = StopIds()
        self._drafting = DraftCheck()

    def events(
        self,
        request: GenerationRequest | RequestFor,
        max_retries: int = 0,
        deadline: Deadline | None = None,
    ) -> Generator[StreamEvent, None, None]:
        """Yield every event of the answer; see ``TextModel.events``."""
        with self._last_error, contextlib.ExitStack() as held:
            sender = Sender(self._connection, held)
            begin = self._begin(request, max_retries, deadline or Deadline(self.timeouts))
            stop_ids, event, rest = run_steps(begin, sender.perform)
            self._last_error.error = None  # also for a consumer that stops early
            last = event
            while event is not None:
                if stop_ids and not stop_ids.isdisjoint(event.token_ids):
                    yield stopped_by_id(event)
                    return
                yield event
                last, event = event, next(rest, None)
            self._drafting.check(last)

    async def aevents(
        self,
        request: GenerationRequest | RequestFor,
        max_retries: int = 0,
        deadline: Deadline | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """``events`` for asyncio."""
        with self._last_error:
            async with contextlib.AsyncExitStack() as held:
                sender = AsyncSender(self._connection, held)
                begin = self._begin(request, max_retries, deadline or Deadline(self.timeouts))
                stop_ids, event, rest = await arun_steps(begin, sender.perform)
                self._last_error.error = None
                last = event
                while event is not None:
                    if stop_ids and not stop_ids.isdisjoint(event.token_ids):
                        yield stopped_by_id(event)
                        return
                    yield event
                    last, event = event, await anext(rest, None)
                self._drafting.check(last)

    def _begin(
        self, request: GenerationRequest | RequestFor, max_retries: int, deadline: Deadline
    ) -> RequestSteps[tuple[frozenset[int], StreamEvent | None, Any]]:
        """Return the ids to stop at, the first event, if any, and the rest of the stream."""
        retries = Retries(max_retries)
        while True:
            try:
                return (yield from self._attempt(request, deadline))
            except RocmError as error:
                pause = retries.pause_after(error)
                if pause is None or not deadline.allows(pause):
                    raise
            yield Release()
            if pause:
                yield pause

    def _attempt(
        self, request: GenerationRequest | RequestFor, deadline: Deadline
    ) -> RequestSteps[tuple[frozenset[int], StreamEvent | None, Any]]:
        _refuse_impossible(request)  # before a server is started for it
        if isinstance(request, GenerationRequest):
            deadline.obey(request.config)
        connection, props = yield Ready(deadline)
        ours = connection.ref.kind != "url"
        self._drafting.model = connection.config.draft_model if ours else None
        if not isinstance(request, GenerationRequest):
            request = request(props)
            _refuse_impossible(request)
        config = request.config
        deadline.obey(config)
        yield from self._stop_ids.look_up(config)
        if isinstance(request, Chat):
            if connection.decides_only is not False:
                yield from _refuse_deciding(connection)
            messages = with_files(request.messages, connection.config)
            request = yield from self._for_template(replace(request, messages=messages), props)
        yield Hold(connection.limiter.ticket(deadline))
        placed: GenerationRequest = yield Hold(connection.with_slot(request))
        with connection.naming_options(placed):
            step = yield from self._opening(placed, connection, props, deadline)
            first, rest = yield step
        return frozenset(config.stop_token_ids), first, rest

    def _opening(
        self,
        request: GenerationRequest,
        connection: Connection,
        props: ServerProps,
        deadline: Deadline,
    ) -> RequestSteps[Open | ThinkFirst]:
        """Return the step that opens the stream of the answer."""
        if isinstance(request, Chat) and connection.chat_dialect == "openai":
            held = yield from self._template.held(request, props)
            if not isinstance(held, GenerationRequest):

                def then(thoughts: str) -> Steps[StreamCall]:
                    return connection.call((yield from held.answer(thoughts)))

                return ThinkFirst(connection.call(held.thoughts), deadline, then)
            request = held
        return Open((yield from connection.call_steps(request)), deadline)

    def _for_template(self, request: Chat, props: ServerProps) -> RequestSteps[Chat]:
        """Return the request as the model's chat template takes it."""
        template, messages = self._template, request.messages
        if request.fit_template:
            tools = bool(request.fields.get("tools"))
            messages = yield from template.fitting(messages, props, tools)
        date = request.config.template_date
        read = yield from template.with_variables(messages, request.fields, date, props)
        return replace(request, messages=read[0], fields=read[1])


def _refuse_deciding(connection: Connection) -> Steps[None]:
    from rocm_core.model.decide import refuse_chat

    yield from refuse_chat(connection)


def _refuse_impossible(request: GenerationRequest | RequestFor) -> None:
    if isinstance(request, Chat):
        refuse_unanswered(request.messages)
        if not request.config.allow_long_runs:
            refuse_long_runs_in_messages(request.messages, _ALLOWED)
            refuse_long_runs_in_fields(request.fields, _ALLOWED)
    elif isinstance(request, GenerationRequest) and not request.config.allow_long_runs:
        given = [request.prompt] if isinstance(request, Completion) else []
        texts = [request.prefix, request.suffix] if isinstance(request, Infill) else given
        for text in texts:
            if isinstance(text, str):
                refuse_long_run(text, "the prompt", _ALLOWED)
