"""One client in many threads and event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rocm_core.client import AsyncClient, Client
from tests.support.servers.asking import DEMO_TEXT, HI, text_of
from tests.support.servers.fake_server import PATIENCE, FakeServer, answer, stream

TOGETHER = 6


@pytest.fixture
def meeting(server: FakeServer) -> Iterator[FakeServer]:
    """A server that lets nobody go on before all are there."""
    all_here = threading.Event()
    server.script("/v1/chat/completions", stream("chat_stream.b11434", all_here))

    def watch() -> None:
        server.request(TOGETHER - 1)
        all_here.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield server
    watcher.join(PATIENCE)


def test_one_client_serves_many_threads_at_once(meeting: FakeServer) -> None:
    with Client(meeting.url) as client, ThreadPoolExecutor(TOGETHER) as pool:
        texts = pool.map(lambda _: text_of(list(client.chat(HI))), range(TOGETHER))

        assert list(texts) == [DEMO_TEXT] * TOGETHER


def test_one_async_client_serves_many_event_loops_at_once(meeting: FakeServer) -> None:
    client = AsyncClient(meeting.url)

    async def read() -> str:
        return text_of([event async for event in client.chat(HI)])

    with ThreadPoolExecutor(TOGETHER) as pool:
        texts = pool.map(lambda _: asyncio.run(read()), range(TOGETHER))

        assert list(texts) == [DEMO_TEXT] * TOGETHER


async def test_one_async_client_serves_many_tasks_at_once(meeting: FakeServer) -> None:
    async def read(client: AsyncClient) -> str:
        return text_of([event async for event in client.chat(HI)])

    async with AsyncClient(meeting.url) as client:
        texts = await asyncio.gather(*(read(client) for _ in range(TOGETHER)))

    assert texts == [DEMO_TEXT] * TOGETHER


def test_one_async_client_serves_one_event_loop_after_another(server: FakeServer) -> None:
    server.script("/v1/chat/completions", stream("chat_stream.b11434"))
    server.script("/health", answer("health.b11434"))
    client = AsyncClient(server.url)

    async def read() -> str:
        assert await client.health() == "ok"
        return text_of([event async for event in client.chat(HI)])

    assert [asyncio.run(read()) for _ in range(3)] == [DEMO_TEXT] * 3


def test_async_client_does_not_keep_event_loops_alive(server: FakeServer) -> None:
    server.script("/health", answer("health.b11434"))
    client = AsyncClient(server.url)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def read() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await client.health()

    asyncio.run(read())
    gc.collect()

    assert loops[0]() is None
