"""Our asyncio transport on uvloop, whose transports are no subclass of asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from rocm_core import AsyncClient
from tests.support.servers.fake_server import FakeServer

uvloop = pytest.importorskip("uvloop")


def run(work: Coroutine[Any, Any, None]) -> None:
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def test_a_server_is_asked(scripted: FakeServer) -> None:
    async def ask() -> None:
        async with AsyncClient(scripted.url) as client:
            assert (await client.props()).total_slots > 0

    run(ask())


def test_a_stream_is_left(endless: FakeServer) -> None:
    async def leave() -> None:
        async with AsyncClient(endless.url) as client:
            events = client.completion("Hi")
            await anext(events)
            await events.aclose()
            gone = endless.request().disconnected
            assert await asyncio.to_thread(gone.wait, 10)

    run(leave())
