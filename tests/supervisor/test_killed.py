"""A server that is killed: the request in flight, the next request, the next start."""

from __future__ import annotations

import os
import signal

import pytest

from rocm_core import Server, State
from rocm_core.errors import ServerDied
from tests.support.engines import LONG
from tests.support.programs import wait_for


def test_killed_before_a_request_the_next_start_replaces_it(server: Server) -> None:
    server.start()
    first = server.pid
    assert first
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: server.state is State.FAILED)
    server.start()
    assert server.pid != first
    assert server.client.health() == "ok"


def test_killed_in_mid_stream_raises_with_signal_and_log(server: Server) -> None:
    server.start()
    stream = server.client.completion("x", LONG)
    next(stream)
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerDied, match="SIGKILL") as caught:
        list(stream)
    assert caught.value.returncode == -signal.SIGKILL
    assert caught.value.log_tail
    assert server.state is State.FAILED


async def test_killed_in_mid_async_stream_raises(server: Server) -> None:
    await server.astart()
    stream = server.aclient.completion("x", LONG)
    await anext(stream)
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerDied, match="SIGKILL"):
        async for _ in stream:
            pass


def test_killed_between_requests_the_next_request_says_so(server: Server) -> None:
    server.start()
    client = server.client
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerDied, match="SIGKILL"):
        for _ in range(100):
            client.health()
