"""What LlamaIndex's observers are told of a stream is what its own wrapper would tell them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any, NamedTuple

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index_instrumentation import get_dispatcher

from llama_index_rocm import RocmLLM
from llama_index_rocm.streams import aobserved, observed
from tests.support.adapters.observing import Collector, observed_events

MESSAGES = [ChatMessage("Hello")]


class Recorder(BaseCallbackHandler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.told: list[Any] = []

    def start_trace(self, trace_id: str | None = None) -> None:
        self.told.append(("trace", trace_id))

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None:
        self.told.append(("trace ends", trace_id))

    def on_event_start(self, event_type: Any, payload: Any = None, *args: Any, **kw: Any) -> str:
        self.told.append(("start", event_type, payload))
        return ""

    def on_event_end(self, event_type: Any, payload: Any = None, *args: Any, **kw: Any) -> None:
        self.told.append(("end", event_type, {k: _plain(v) for k, v in payload.items()}))


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, BaseException) else value


class Case(NamedTuple):
    """A stream of so many responses, and how it ends.

    Attributes:
        fails: raises after the responses.
        left_after: the caller stops after so many; ``None`` for never.
        heard: somebody listens to LlamaIndex's events.
        heard_after: from this response on.
        chat: of chat; else of a completion.
    """

    pieces: int
    fails: bool
    left_after: int | None
    heard: bool
    chat: bool
    heard_after: int | None = None

    def responses(self) -> Generator[Any, None, None]:
        for number in range(self.pieces):
            if self.chat:
                yield ChatResponse(message=ChatMessage(f"{number}"), delta=f"{number}", raw={})
            else:
                yield CompletionResponse(text=f"{number}", delta=f"{number}", raw={})
        if self.fails:
            raise ConnectionError("broken")


CASES = [
    Case(pieces, fails, left_after, heard, chat, heard_after)
    for pieces in range(4)
    for fails in (False, True)
    for left_after in (None, *range(pieces + 1))
    for heard in (False, True)
    for chat in (False, True)
    for heard_after in ((None,) if heard else (None, *range(1, pieces)))
]


class _Told:
    """What everybody was told in a case."""

    def __init__(self, case: Case) -> None:
        self.case, self.yielded, self.error = case, [], ""  # type: ignore[var-annotated]
        self.recorder, self.collector = Recorder(), Collector()
        manager = CallbackManager([self.recorder])
        self.llm = RocmLLM(base_url="http://127.0.0.1:9", callback_manager=manager)
        self.callback: Any = llm_chat_callback if case.chat else llm_completion_callback
        self.subject: Any = MESSAGES if case.chat else "Hello"
        self._heard = get_dispatcher("llama_index.core.llms.callbacks")

    def take(self, response: Any) -> bool:
        """Whether the caller wants more."""
        self.yielded.append(response)
        if len(self.yielded) == self.case.heard_after:
            self._heard.add_event_handler(self.collector)
        return len(self.yielded) != self.case.left_after

    def outcome(self) -> Any:
        if self.case.heard_after is not None and self.collector in self._heard.event_handlers:
            self._heard.event_handlers.remove(self.collector)
        events = [
            (type(each).__name__, _plain(getattr(each, "response", each.dict().get("exception"))))
            for each in self.collector.events
        ]
        return self.yielded, self.error, self.recorder.told, events


def _sync(case: Case, ours: bool) -> Any:
    told = _Told(case)
    source = case.responses()
    if ours:
        stream: Any = observed(told.callback, told.llm, told.subject, {"seed": 1}, source)
    else:
        stream = told.callback()(lambda *_, **__: source)(told.llm, told.subject, seed=1)
    try:
        if case.left_after != 0:
            for response in stream:
                if not told.take(response):
                    break
    except Exception as error:
        told.error = repr(error)
    stream.close()
    return told.outcome()


async def _async(case: Case, ours: bool) -> Any:
    told = _Told(case)

    async def responses() -> AsyncGenerator[Any, None]:
        for response in case.responses():
            await asyncio.sleep(0)
            yield response

    source = responses()
    if ours:
        stream: Any = await aobserved(told.callback, told.llm, told.subject, {"seed": 1}, source)
    else:

        async def theirs(*_: Any, **__: Any) -> Any:
            return source

        stream = await told.callback()(theirs)(told.llm, told.subject, seed=1)
    try:
        if case.left_after != 0:
            async for response in stream:
                if not told.take(response):
                    break
    except Exception as error:
        told.error = repr(error)
    await stream.aclose()
    return told.outcome()


@pytest.mark.parametrize("case", CASES)
def test_observers_are_told_what_llamaindex_would_tell(case: Case) -> None:
    if not case.heard:
        assert _sync(case, ours=True) == _sync(case, ours=False)
        return
    with observed_events() as ours:
        outcome = _sync(case, ours=True)
    with observed_events() as theirs:
        assert _sync(case, ours=False) == outcome
    assert ours.counts() == theirs.counts()


@pytest.mark.parametrize("case", CASES)
def test_observers_of_asyncio_are_told_what_llamaindex_would_tell(case: Case) -> None:
    if not case.heard:
        assert asyncio.run(_async(case, True)) == asyncio.run(_async(case, False))
        return
    with observed_events() as ours:
        outcome = asyncio.run(_async(case, True))
    with observed_events() as theirs:
        assert asyncio.run(_async(case, False)) == outcome
    assert ours.counts() == theirs.counts()
