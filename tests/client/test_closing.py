"""Who closes an answer early hangs up at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rocm_core.client import AsyncClient, Client
from tests.support.servers.asking import ahung_up, hung_up
from tests.support.servers.fake_server import STALL, FakeServer, Reply, stream


def test_closing_the_iterator_closes_the_connection(endless: FakeServer) -> None:
    with Client(endless.url) as client:
        events = client.completion("Hi")
        next(events)
        assert not endless.request().disconnected.is_set()

        events.close()

        assert hung_up(endless)


def test_dropping_the_iterator_closes_the_connection(endless: FakeServer) -> None:
    with Client(endless.url) as client:
        events = client.completion("Hi")
        next(events)

        del events

        assert hung_up(endless)


def test_leaving_the_loop_by_an_exception_closes_the_connection(endless: FakeServer) -> None:
    def read(client: Client) -> None:
        for _ in client.completion("Hi"):
            raise KeyError("mine")

    with Client(endless.url) as client:
        with pytest.raises(KeyError, match="mine"):
            read(client)

        assert hung_up(endless)


def test_end_marker_closes_the_connection_though_the_server_goes_on(server: FakeServer) -> None:
    marker = b'data: {"content":"","stop":true}\n\n'
    server.script("/completion", stream(marker, STALL))

    with Client(server.url) as client:
        assert len(list(client.completion("Hi"))) == 1
        assert hung_up(server)


async def test_closing_the_async_iterator_closes_the_connection(endless: FakeServer) -> None:
    async with AsyncClient(endless.url) as client:
        events = client.completion("Hi")
        await anext(events)
        assert not endless.request().disconnected.is_set()

        await events.aclose()

        assert await ahung_up(endless)


async def test_dropping_the_async_iterator_closes_the_connection(endless: FakeServer) -> None:
    async with AsyncClient(endless.url) as client:
        events = client.completion("Hi")
        await anext(events)

        del events

        assert await ahung_up(endless)


async def test_canceling_the_task_closes_the_connection(endless: FakeServer) -> None:
    client = AsyncClient(endless.url)
    first = asyncio.Event()

    async def read() -> None:
        async for _ in client.completion("Hi"):
            first.set()

    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ahung_up(endless)


@pytest.mark.parametrize("method", ["completion", "tokenize"])
async def test_canceling_the_task_before_any_answer_closes_the_connection(
    server: FakeServer, method: str
) -> None:
    server.script(f"/{method}", Reply(before=[STALL]))
    client = AsyncClient(server.url)

    async def read() -> None:
        if method == "tokenize":
            await client.tokenize("Hi")
        else:
            await anext(client.completion("Hi"))

    task = asyncio.create_task(read())
    await asyncio.to_thread(server.request)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ahung_up(server)


def test_end_of_the_event_loop_closes_the_connection(endless: FakeServer) -> None:
    client = AsyncClient(endless.url)
    kept: list[Any] = []

    async def read() -> None:
        kept.append(client.completion("Hi"))
        await anext(kept[0])

    asyncio.run(read())

    assert hung_up(endless)
