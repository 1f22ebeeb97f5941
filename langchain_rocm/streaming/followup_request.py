"""Requests that llama-server does not grant in one step: the model is asked again.

    tools and a response format   The format would apply to everything the model writes, so it
                                  could call no tool. It is asked without the format first. An
                                  answer with calls is passed on as it comes; any other is held
                                  back, and unless it fits already, asked for again in the format.
    a call that is required       The model may talk before the call, and some talk for ever.
                                  What it said is passed on; then the call is forced.

The prompt is in the cache by the second step. What both cost is added up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from dataclasses import replace

from rocm_core import StreamEvent, Usage
from rocm_core.requests import CallReader, ToolRequest

Events = Generator[StreamEvent, None, None]
AsyncEvents = AsyncGenerator[StreamEvent, None]


def _charged(event: StreamEvent, spent: Usage | None) -> StreamEvent:
    """``event`` of the second answer, with what the first one cost."""
    if event.usage and spent:
        total = event.usage.completion_tokens + spent.completion_tokens
        event.usage = replace(event.usage, completion_tokens=total)
    return event


# ---------------------------------------------------------------------------
# Tools and a response format
# ---------------------------------------------------------------------------


class _Draft:
    """The first answer, held back until it calls a tool."""

    def __init__(self, fits: Callable[[str], bool]) -> None:
        self._fits = fits
        self._held: list[StreamEvent] = []
        self._calls = False
        self.usage: Usage | None = None

    def read(self, event: StreamEvent) -> list[StreamEvent]:
        """What may be passed on now."""
        self.usage = event.usage or self.usage
        self._calls = self._calls or bool(event.tool_calls)
        if not self._calls and not event.reasoning:
            self._held.append(event)
            return []
        held, self._held = (self._held, []) if self._calls else ([], self._held)
        return [*held, event]

    def rest(self) -> list[StreamEvent] | None:
        """What is left to pass on; ``None`` if the model must be asked again."""
        if self._calls or self._fits("".join(event.text for event in self._held)):
            return self._held
        return None


def tools_then_format(
    first: Events, second: Callable[[], Events], fits: Callable[[str], bool]
) -> Events:
    """The events of the answer.

    Args:
        first: of the request without the format.
        second: opens the request with the format.
        fits: whether a text is of the format already.
    """
    draft = _Draft(fits)
    with closing(first):
        for event in first:
            yield from draft.read(event)
    if (rest := draft.rest()) is not None:
        yield from rest
        return
    with closing(second()) as events:
        for event in events:
            yield _charged(event, draft.usage)


async def atools_then_format(
    first: AsyncEvents, second: Callable[[], AsyncEvents], fits: Callable[[str], bool]
) -> AsyncEvents:
    """``tools_then_format`` for asyncio."""
    draft = _Draft(fits)
    async with aclosing(first):
        async for event in first:
            for ready in draft.read(event):
                yield ready
    if (rest := draft.rest()) is not None:
        for ready in rest:
            yield ready
        return
    async with aclosing(second()) as events:
        async for event in events:
            yield _charged(event, draft.usage)


# ---------------------------------------------------------------------------
# A call that is required
# ---------------------------------------------------------------------------


class _Talk:
    """The first answer; how it ended is held back until it has called a tool."""

    def __init__(self) -> None:
        self.ending: list[StreamEvent] = []
        self.called = False
        self.usage: Usage | None = None

    def passes(self, event: StreamEvent) -> bool:
        """Whether ``event`` may be passed on now."""
        self.usage = event.usage or self.usage
        self.called = self.called or bool(event.tool_calls)
        if event.finish_reason or event.usage or event.timings:
            self.ending.append(event)
            return False
        return True


def call_or_insist(first: Events, second: Callable[[], Events], call: ToolRequest) -> Events:
    """The events of the answer.

    Args:
        first: of the request that requires a call.
        second: opens the request of ``call``, which forces one.
    """
    talk = _Talk()
    with closing(first):
        for event in first:
            if talk.passes(event):
                yield event
    if talk.called:
        yield from talk.ending
        return
    reader = CallReader(call)
    with closing(second()) as events:
        for event in events:
            yield _charged(reader.read(event), talk.usage)


async def acall_or_insist(
    first: AsyncEvents, second: Callable[[], AsyncEvents], call: ToolRequest
) -> AsyncEvents:
    """``call_or_insist`` for asyncio."""
    talk = _Talk()
    async with aclosing(first):
        async for event in first:
            if talk.passes(event):
                yield event
    if talk.called:
        for event in talk.ending:
            yield event
        return
    reader = CallReader(call)
    async with aclosing(second()) as events:
        async for event in events:
            yield _charged(reader.read(event), talk.usage)
