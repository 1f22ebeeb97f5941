"""Write a stream of events as lines of JSON, to pass an answer on over HTTP or a pipe.

    {"token": "Hel"}
    {"token": "lo"}
    {"done": true, "content": "Hello", "finish_reason": "stop", "usage": {…}}

Reasoning makes ``{"reasoning": …}`` lines and tool calls ``{"tool_call": …}`` lines. A stream
that breaks off raises, so only a whole answer ends with the line with ``done``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import orjson

from rocm_core.types import StreamEvent, Usage

__all__ = ["ato_ndjson", "to_ndjson"]


def to_ndjson(events: Iterable[StreamEvent]) -> Iterator[bytes]:
    """Yield lines of JSON in UTF-8, each with its line end; raise what ``events`` raises."""
    writer = _Writer()
    for event in events:
        yield from writer.lines(event)
    yield writer.end()


async def ato_ndjson(events: AsyncIterator[StreamEvent]) -> AsyncIterator[bytes]:
    """``to_ndjson`` for asyncio."""
    writer = _Writer()
    async for event in events:
        for line in writer.lines(event):
            yield line
    yield writer.end()


class _Writer:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._finish_reason: str | None = None
        self._usage: Usage | None = None

    def lines(self, event: StreamEvent) -> Iterator[bytes]:
        self._finish_reason = event.finish_reason or self._finish_reason
        self._usage = event.usage or self._usage
        if event.reasoning:
            yield _line({"reasoning": event.reasoning})
        for call in event.tool_calls:
            yield _line({"tool_call": asdict(call)})
        if event.text:
            self._pieces.append(event.text)
            yield _line({"token": event.text})

    def end(self) -> bytes:
        return _line(
            {
                "done": True,
                "content": "".join(self._pieces),
                "finish_reason": self._finish_reason,
                "usage": asdict(self._usage) if self._usage else None,
            }
        )


def _line(facts: dict[str, Any]) -> bytes:
    return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
