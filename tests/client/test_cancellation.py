"""Cancel scopes."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context

import pytest

from rocm_core import AsyncClient, Client, GenerateConfig, cancel_scope
from rocm_core.errors import ClientError, RequestCancelled
from tests.support.servers.fake_server import STALL, FakeServer, answer, stream

CONFIG = GenerateConfig()


@pytest.fixture
def stalling() -> FakeServer:
    server = FakeServer()
    server.script("/completion", stream("completion_stream.b11434", STALL))
    server.script("/health", answer("health.b11434"))
    return server


def test_cancelling_ends_the_answers_of_threads(stalling: FakeServer) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            list(client.completion("x", CONFIG))
        except ClientError as error:
            caught.append(error)

    with stalling as server, Client(server.url) as client, cancel_scope() as scope:
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        request = server.request()
        scope.cancel()
        thread.join(10)
        assert request.disconnected.wait(10)
        assert caught
        with pytest.raises(RequestCancelled):
            next(client.completion("x", CONFIG))
        assert client.health() == "ok"  # what is no generation goes on


def test_leaving_with_an_exception_cancels(stalling: FakeServer) -> None:
    with stalling as server, Client(server.url) as client:
        with pytest.raises(KeyboardInterrupt), cancel_scope():
            events = client.completion("x", CONFIG)
            next(events)
            raise KeyboardInterrupt
        assert server.request().disconnected.wait(10)
        assert next(client.completion("x", CONFIG)).text  # outside of the scope
        del events


async def test_tasks_belong_to_the_scope_they_were_made_in(stalling: FakeServer) -> None:
    with stalling as server:
        client = AsyncClient(server.url)

        async def work() -> None:
            async for _ in client.completion("x", CONFIG):
                pass

        with cancel_scope() as scope:
            task = asyncio.ensure_future(work())
        await asyncio.to_thread(server.request)
        scope.cancel()
        with pytest.raises(ClientError):
            await asyncio.wait_for(task, 10)
        await client.aclose()
