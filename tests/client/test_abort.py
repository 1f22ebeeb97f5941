"""Generation broken off from another thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rocm_core.client import AsyncClient, Call, Client, StreamCall, calls
from rocm_core.client.cancellation import Wire
from rocm_core.config import GenerateConfig
from rocm_core.errors import ServerUnreachable, StreamInterrupted
from tests.support.servers.asking import NEVER, hung_up
from tests.support.servers.fake_server import PATIENCE, STALL, FakeServer, Reply, answer


class Reader(threading.Thread):
    """Reads in a thread of its own and keeps the error."""

    def __init__(self, target: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._read = target
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self.error = error


def reader_of(
    client: Client | AsyncClient, began: threading.Event, call: StreamCall | Call[Any]
) -> Reader:
    """A thread that waits for this answer; ``began`` is set with the first event."""

    def read() -> None:
        assert isinstance(client, Client)
        if isinstance(call, Call):
            client.call(call)
        else:
            for _ in client.stream(call):
                began.set()

    async def aread() -> None:
        assert isinstance(client, AsyncClient)
        if isinstance(call, Call):
            await client.call(call)
        else:
            async for _ in client.stream(call):
                began.set()

    reader = Reader(read if isinstance(client, Client) else lambda: asyncio.run(aread()))
    reader.start()
    return reader


KINDS = pytest.mark.parametrize("kind", [Client, AsyncClient])
COMPLETION = calls.completion("Hi", GenerateConfig())


def reading(client: Client | AsyncClient) -> Reader:
    """A thread that has the first event of a completion and waits for the next."""
    began = threading.Event()
    reader = reader_of(client, began, COMPLETION)
    assert began.wait(PATIENCE)
    return reader


@KINDS
def test_abort_breaks_off_a_reader_that_waits_for_the_next_event(
    endless: FakeServer, kind: type[Client] | type[AsyncClient]
) -> None:
    client = kind(endless.url, timeouts=NEVER)
    reader = reading(client)

    client.abort_streams()

    reader.join(PATIENCE / 2)
    assert isinstance(reader.error, StreamInterrupted)
    assert hung_up(endless)


@KINDS
@pytest.mark.parametrize("call", [COMPLETION, calls.tokenize("Hi")], ids=["stream", "call"])
def test_abort_breaks_off_a_reader_that_waits_for_the_first_byte(
    server: FakeServer, kind: type[Client] | type[AsyncClient], call: StreamCall | Call[Any]
) -> None:
    server.script(call.path, Reply(before=[STALL]))
    client = kind(server.url, timeouts=NEVER)
    reader = reader_of(client, threading.Event(), call)
    server.request()

    client.abort_streams()

    reader.join(PATIENCE / 2)
    assert isinstance(reader.error, ServerUnreachable)
    assert hung_up(server)


@KINDS
def test_client_goes_on_after_an_abort(
    endless: FakeServer, kind: type[Client] | type[AsyncClient]
) -> None:
    endless.script("/health", answer("health.b11434"))
    client = kind(endless.url)
    client.abort_streams()
    reader = reading(client)

    client.abort_streams()
    reader.join(PATIENCE / 2)

    assert client.health() == "ok" if isinstance(client, Client) else asyncio.run(alive(client))


async def alive(client: AsyncClient) -> bool:
    return await client.health() == "ok"


def test_closing_the_client_breaks_off_its_readers(endless: FakeServer) -> None:
    client = Client(endless.url, timeouts=NEVER)
    reader = reading(client)

    client.close()

    reader.join(PATIENCE / 2)
    assert isinstance(reader.error, StreamInterrupted)


async def test_closing_the_async_client_breaks_off_its_readers(endless: FakeServer) -> None:
    client = AsyncClient(endless.url, timeouts=NEVER)
    events = client.completion("Hi")
    await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)  # let it begin to wait

    await client.aclose()

    with pytest.raises(StreamInterrupted):
        await waiting


def test_closed_client_is_unreachable(server: FakeServer) -> None:
    server.script("/health", answer("health.b11434"))
    client = Client(server.url)
    client.close()

    with pytest.raises(ServerUnreachable, match="closed"):
        client.health()
    with pytest.raises(ServerUnreachable, match="closed"):
        next(client.completion("Hi"))


def test_wire_is_cut_even_if_its_socket_knows_no_shutdown() -> None:
    """As uvloop's sockets do not."""

    class Sealed:
        def __init__(self, real: socket.socket) -> None:
            self.fileno = real.fileno

        def shutdown(self, how: int) -> None:
            raise TypeError("not available")

    class Stream:
        def __init__(self, real: socket.socket) -> None:
            self.sealed = Sealed(real)

        def get_extra_info(self, info: str) -> Any:
            return self.sealed if info == "socket" else None

    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.settimeout(PATIENCE)
        wire = Wire()
        wire.trace("connection.connect_tcp.complete", {"return_value": Stream(mine)})

        wire.cut()

        assert theirs.recv(1) == b""


def test_wire_that_is_cut_before_it_is_made_is_cut_when_it_is_made() -> None:
    class Stream:
        def __init__(self, real: socket.socket) -> None:
            self.real = real

        def get_extra_info(self, info: str) -> Any:
            return self.real if info == "socket" else None

    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.settimeout(PATIENCE)
        wire = Wire()
        wire.cut()

        wire.trace("connection.connect_tcp.complete", {"return_value": Stream(mine)})

        assert theirs.recv(1) == b""
