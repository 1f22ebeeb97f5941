"""Send a second request where llama-server cannot do in one what the caller wants.

    tools and a response format   llama-server would apply the format to everything the model
                                  writes, so that it could not call a tool. The first request has
                                  no format. An answer with calls is yielded as it arrives; any
                                  other is held, and if it does not match the format, the second
                                  request asks for it again, with the format and without tools.
    a call that is required       The model may write text before the call, and some models never
                                  stop. The text is yielded; if no call follows, the second
                                  request forces one by a schema.

The second request finds the prompt in the server's cache. Its usage counts both answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from dataclasses import replace

from rocm_core.requests import CallReader, ToolRequest
from rocm_core.types import StreamEvent, Usage

Events = Generator[StreamEvent, None, None]
AsyncEvents = AsyncGenerator[StreamEvent, None]


def _charged(event: StreamEvent, spent: Usage | None) -> StreamEvent:
    """Add the completion tokens of the first answer to an event of the second; return it."""
    if event.usage and spent:
        total = event.usage.completion_tokens + spent.completion_tokens
        event.usage = replace(event.usage, completion_tokens=total)
    return event


# ---------------------------------------------------------------------------
# Tools and a response format
# ---------------------------------------------------------------------------


class _Draft:
    """Holds the first answer until it calls a tool; reasoning passes at once."""

    def __init__(self, fits: Callable[[str], bool]) -> None:
        self._fits = fits
        self._held: list[StreamEvent] = []
        self._calls = False
        self.usage: Usage | None = None

    def read(self, event: StreamEvent) -> list[StreamEvent]:
        """Return the events that may be yielded now."""
        self.usage = event.usage or self.usage
        self._calls = self._calls or bool(event.tool_calls)
        if not self._calls and not event.reasoning:
            self._held.append(event)
            return []
        held, self._held = (self._held, []) if self._calls else ([], self._held)
        return [*held, event]

    def rest(self) -> list[StreamEvent] | None:
        """Return the events that are left; ``None`` if the second request is needed."""
        if self._calls or self._fits("".join(event.text for event in self._held)):
            return self._held
        return None


def tools_then_format(
    first: Events, second: Callable[[], Events], fits: Callable[[str], bool]
) -> Events:
    """Yield the events of an answer that may call tools or match a format.

    Args:
        first: events of the request without the format; closed at the end.
        second: sends the request with the format.
        fits: whether a text matches the format.
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
    """Passes the first answer's text; holds its end, which counts only if it called a tool."""

    def __init__(self) -> None:
        self.ending: list[StreamEvent] = []
        self.called = False
        self.usage: Usage | None = None

    def passes(self, event: StreamEvent) -> bool:
        """Return whether ``event`` may be yielded now; else keep it."""
        self.usage = event.usage or self.usage
        self.called = self.called or bool(event.tool_calls)
        if event.finish_reason or event.usage or event.timings:
            self.ending.append(event)
            return False
        return True


def call_or_insist(first: Events, second: Callable[[], Events], call: ToolRequest) -> Events:
    """Yield the events of an answer that must call a tool.

    Args:
        first: events of the request that requires a call; closed at the end.
        second: sends the request that forces ``call``.
        call: the second request's tools, for reading its answer.
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
