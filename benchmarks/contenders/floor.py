"""Where a fake model has its pieces from.

In the burst mode they are in memory: what is measured is the framework alone. In the other modes
they come from the raw socket, as the server sends them: a model that never waits runs on warm
caches, which is nothing to compare with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from benchmarks.contenders.base import Setting
from benchmarks.contenders.raw import aread, read
from benchmarks.script import pieces


def source(setting: Setting) -> Iterator[str]:
    """The pieces of the answer."""
    return iter(pieces(setting.chunks)) if setting.mode == "burst" else read(setting)


def asource(setting: Setting) -> AsyncIterator[str]:
    """``source`` for asyncio."""
    return _in_memory(setting) if setting.mode == "burst" else aread(setting)


async def _in_memory(setting: Setting) -> AsyncIterator[str]:
    for piece in pieces(setting.chunks):
        yield piece
