"""From a stream of events to what a method of ``LLM`` returns: the loops, sync and async.

    TextModel's events → responses()  → observed()  → the caller
                         Answer.add()   LlamaIndex's callbacks, once per call and, if anybody
                                        hears of that, per response

Who closes the outermost generator closes them all at once, and llama-server frees the slot.
LlamaIndex's callback wrapper alone does not close what it wraps: it leaves that to the garbage
collector, and a handler that keeps the exception events keeps the stream alive with them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.llms.callbacks import dispatcher

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
#
# LlamaIndex's wrapper makes an event of each response, validated and with a random id, and then
# looks who listens: that costs more than the response. So it gets the responses that somebody
# hears of, the first one, with which it begins, and what it tells at the end: the last one, or an
# error. The others go to the caller directly.


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
    told: list[Any] = []

    def relay() -> Generator[Any, None, None]:
        while told:
            yield _or_raise(told.pop())

    def stream(_llm: Any, _subject: Any, **_options: Any) -> Generator[Any, None, None]:
        return relay()

    return _direct(callback()(stream)(llm, subject, **options), source, told)


def _direct(
    outer: Generator[R, None, None], source: Generator[R, None, None], told: list[Any]
) -> Generator[R, None, None]:
    with contextlib.closing(source), contextlib.closing(outer):
        begun, last = False, None
        try:
            for response in source:
                if begun and not _listened():
                    last = response
                    yield response
                else:
                    begun, last = True, None
                    told.append(response)
                    yield next(outer)
        except GeneratorExit:
            raise  # closing the wrapper tells it
        except BaseException as error:
            told.append(error)
            next(outer)
            raise
        if last is not None:
            told.append(last)
            next(outer)
        next(outer, None)


async def aobserved(
    callback: Callback,
    llm: Any,
    subject: Any,
    options: dict[str, Any],
    source: AsyncGenerator[R, None],
) -> AsyncGenerator[R, None]:
    """``observed`` for asyncio."""
    told: list[Any] = []

    async def relay() -> AsyncGenerator[Any, None]:
        while told:
            yield _or_raise(told.pop())

    async def stream(_llm: Any, _subject: Any, **_options: Any) -> AsyncGenerator[Any, None]:
        return relay()

    return _adirect(await callback()(stream)(llm, subject, **options), source, told)


async def _adirect(
    outer: AsyncGenerator[R, None], source: AsyncGenerator[R, None], told: list[Any]
) -> AsyncGenerator[R, None]:
    async with contextlib.aclosing(source), contextlib.aclosing(outer):
        begun, last = False, None
        try:
            async for response in source:
                if begun and not _listened():
                    last = response
                    yield response
                else:
                    begun, last = True, None
                    told.append(response)
                    yield await anext(outer)
        except GeneratorExit:
            raise
        except BaseException as error:
            told.append(error)
            await anext(outer)
            raise
        if last is not None:
            told.append(last)
            await anext(outer)
        await anext(outer, None)


def _or_raise(told: Any) -> Any:
    if isinstance(told, BaseException):
        raise told
    return told


def _listened() -> bool:
    """Whether anybody hears of the event that LlamaIndex would make of a response."""
    at = dispatcher
    while True:
        for handler in at.event_handlers:
            if type(handler) is not NullEventHandler:  # LlamaIndex's own, at the root
                return True
        if not at.propagate:
            return False
        at = at.parent
