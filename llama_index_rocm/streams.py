"""From a stream of events to what a method of ``LLM`` returns: the loops, sync and async.

    TextModel's events → responses()  → observed()  → the caller
                         Answer.add()   LlamaIndex's callbacks, once per call and per response

Who closes the outermost generator closes them all at once, and llama-server frees the slot.
LlamaIndex's callback wrapper alone does not close what it wraps: it leaves that to the garbage
collector, and a handler that keeps the exception events keeps the stream alive with them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from llama_index_rocm.responses import Answer, R
from rocm_core.types import StreamEvent

Events = Generator[StreamEvent, None, None]
AsyncEvents = AsyncGenerator[StreamEvent, None]
Callback = Callable[[], Callable[..., Any]]
"""``llm_chat_callback`` or ``llm_completion_callback``."""


# ---------------------------------------------------------------------------
# Events to responses
# ---------------------------------------------------------------------------


def gather(events: Events, answer: Answer[R]) -> R:
    """Read to the end and return the whole answer; no response is made on the way."""
    with contextlib.closing(events):
        for event in events:
            answer.take(event)
    return answer.whole()


async def agather(events: AsyncEvents, answer: Answer[R]) -> R:
    """``gather`` for asyncio."""
    async with contextlib.aclosing(events):
        async for event in events:
            answer.take(event)
    return answer.whole()


def responses(events: Events, answer: Answer[R]) -> Generator[R, None, None]:
    """One response per piece of the answer, and one at the end."""
    with contextlib.closing(events):
        for event in events:
            response = answer.add(event)
            if response is not None:
                yield response
    yield answer.last()


async def aresponses(events: AsyncEvents, answer: Answer[R]) -> AsyncGenerator[R, None]:
    """``responses`` for asyncio."""
    async with contextlib.aclosing(events):
        async for event in events:
            response = answer.add(event)
            if response is not None:
                yield response
    yield answer.last()


# ---------------------------------------------------------------------------
# Callbacks around the responses
# ---------------------------------------------------------------------------


def observed(
    callback: Callback,
    llm: Any,
    subject: Any,
    options: dict[str, Any],
    source: Generator[R, None, None],
) -> Generator[R, None, None]:
    """``source`` with LlamaIndex's callbacks around it.

    Args:
        callback: which callbacks.
        llm: whose call it is.
        subject: the messages or the prompt, for the callbacks to show; ``options`` likewise.
        source: the responses.
    """

    def stream(_llm: Any, _subject: Any, **_options: Any) -> Generator[R, None, None]:
        return source

    return _closing_both(callback()(stream)(llm, subject, **options), source)


async def aobserved(
    callback: Callback,
    llm: Any,
    subject: Any,
    options: dict[str, Any],
    source: AsyncGenerator[R, None],
) -> AsyncGenerator[R, None]:
    """``observed`` for asyncio."""

    async def stream(_llm: Any, _subject: Any, **_options: Any) -> AsyncGenerator[R, None]:
        return source

    return _aclosing_both(await callback()(stream)(llm, subject, **options), source)


def _closing_both(
    outer: Generator[R, None, None], source: Generator[R, None, None]
) -> Generator[R, None, None]:
    with contextlib.closing(source), contextlib.closing(outer):
        yield from outer


async def _aclosing_both(
    outer: AsyncGenerator[R, None], source: AsyncGenerator[R, None]
) -> AsyncGenerator[R, None]:
    async with contextlib.aclosing(source), contextlib.aclosing(outer):
        async for response in outer:
            yield response
