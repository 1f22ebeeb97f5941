"""Write a stream of events as lines of JSON, to pass an answer on over HTTP or a pipe; read it.

    {"token": "Hel"}
    {"token": "lo"}
    {"done": true, "content": "Hello", "finish_reason": "stop", "usage": {…}}

Reasoning makes ``{"reasoning": …}`` lines and tool calls ``{"tool_call": …}`` lines. A stream
that breaks off raises, so only a whole answer ends with the line with ``done``. The clients read
an answer in this form from a server as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import orjson

from rocm_core.client.stream.events import StreamDecoder
from rocm_core.types import StreamEvent, Usage

__all__ = ["afrom_ndjson", "ato_ndjson", "from_ndjson", "to_ndjson"]


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


def from_ndjson(chunks: Iterable[bytes | str]) -> Iterator[StreamEvent]:
    """Yield the events of an answer that ``to_ndjson`` wrote.

    Lines that are JSON strings (``"Hel"``), server-sent events and NDJSON of llama-server are read
    as well. Text, reasoning, tool calls, finish reason and usage come back; what the lines leave
    out (token ids, timings) does not.

    Args:
        chunks: lines, or bytes cut anywhere: an open file, ``response.iter_bytes()``, …

    Raises:
        StreamInterrupted: they ended before the line with ``done``: the answer is incomplete.
        ProtocolError: a line is not JSON, or of an unknown form.
        HTTPStatusError: a line reports an error.
    """
    decoder = StreamDecoder()
    for chunk in chunks:
        yield from decoder.feed(_bytes(chunk))
        if decoder.ended:
            return
    yield from decoder.close()


async def afrom_ndjson(chunks: AsyncIterator[bytes | str]) -> AsyncIterator[StreamEvent]:
    """``from_ndjson`` for asyncio."""
    decoder = StreamDecoder()
    async for chunk in chunks:
        for event in decoder.feed(_bytes(chunk)):
            yield event
        if decoder.ended:
            return
    for event in decoder.close():
        yield event


def _bytes(chunk: bytes | str) -> bytes:
    return chunk.encode() if isinstance(chunk, str) else chunk


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
