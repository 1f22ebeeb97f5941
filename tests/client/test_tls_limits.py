"""The time limits of a request to an ``https`` peer that sends a little from time to time."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import trustme

from rocm_core.client import Client
from rocm_core.client.cancellation import Wire
from rocm_core.config import Timeouts
from rocm_core.errors import ClientError, RequestTimeout
from tests.support.programs import in_time
from tests.support.servers.asking import NEVER, Ask

LIMIT = 0.4
_PAUSE = 0.02
_BODY_BEGINS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
Peer = Callable[["Serve"], dict[str, Any]]
Serve = Callable[[socket.socket, ssl.SSLContext, threading.Event], None]


def _drip(send: Callable[[bytes], Any], data: bytes, over: threading.Event) -> None:
    """Send it byte by byte, until the peer has gone or the test is over; then nothing more."""
    for byte in data:
        send(bytes([byte]))
        if over.wait(_PAUSE):
            return
    over.wait()


def _silent_handshake(
    connection: socket.socket, context: ssl.SSLContext, over: threading.Event
) -> None:
    over.wait()


def _slow_handshake(
    connection: socket.socket, context: ssl.SSLContext, over: threading.Event
) -> None:
    """The server's own words of a handshake, byte by byte."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(connection.recv(65536))
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    words = outgoing.read()
    assert len(words) * _PAUSE > 4 * LIMIT
    _drip(connection.sendall, words, over)


def _over_tls(data: bytes, before: bytes = b"") -> Serve:
    def serve(connection: socket.socket, context: ssl.SSLContext, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(before)
            _drip(tls.sendall, data, over)

    return serve


def _half_a_record(
    connection: socket.socket, context: ssl.SSLContext, over: threading.Event
) -> None:
    """After a whole handshake the bytes of one record, one by one: no read returns a byte."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))
    connection.sendall(outgoing.read())
    tls.write(_BODY_BEGINS + b"x" * 2000)
    _drip(connection.sendall, outgoing.read(), over)


PEERS: dict[str, Serve] = {
    "a handshake that never begins": _silent_handshake,
    "a handshake, byte by byte": _slow_handshake,
    "silence after the handshake": _over_tls(b""),
    "a head, byte by byte": _over_tls(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 1\r\n" * 100),
    "a body, byte by byte": _over_tls(b" " * 1000, before=_BODY_BEGINS),
    "comments, byte by byte": _over_tls(b":\n\n" * 500, before=_BODY_BEGINS),
    "a record, byte by byte": _half_a_record,
}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def peer(authority: trustme.CA) -> Iterator[Peer]:
    """Starts a peer of one connection, and returns the settings of its client."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    over = threading.Event()
    with contextlib.ExitStack() as stack:

        def start(serve: Serve) -> dict[str, Any]:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                with listener.accept()[0] as connection, contextlib.suppress(OSError):
                    serve(connection, theirs, over)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(over.set)
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            return {"base_url": url, "tls": ours}

        yield start


@pytest.mark.parametrize("method", ["embeddings", "completion"])
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_slow_over_tls_is_limited(
    peer: Peer, ask: Ask, name: str, method: str
) -> None:
    limits = Timeouts(connect=15.0, first_token=15.0, idle=15.0, total=LIMIT)
    settings = peer(PEERS[name]) | {"timeouts": limits}
    begun = time.monotonic()
    with pytest.raises(RequestTimeout, match=f"{LIMIT} s") as caught:
        ask(settings, method, ["a"] if method == "embeddings" else "Hi")
    assert time.monotonic() - begun < LIMIT + in_time(0.2)
    assert caught.value.phase == "total"


@pytest.mark.parametrize("name", list(PEERS)[:2])
def test_a_handshake_has_the_limit_of_connecting(peer: Peer, ask: Ask, name: str) -> None:
    settings = peer(PEERS[name]) | {"timeouts": replace(NEVER, connect=LIMIT)}
    begun = time.monotonic()
    with pytest.raises(RequestTimeout) as caught:
        ask(settings, "completion", "Hi")
    assert time.monotonic() - begun < LIMIT + in_time(0.2)
    assert caught.value.phase == "connect"


@pytest.mark.parametrize("name", PEERS)
def test_a_client_that_is_closed_ends_a_request_over_tls(peer: Peer, name: str) -> None:
    client = Client(**peer(PEERS[name]), timeouts=replace(NEVER, total=15.0))
    timer = threading.Timer(LIMIT, client.close)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(ClientError):
        list(client.completion("Hi"))
    assert time.monotonic() - begun < LIMIT + in_time(0.2)
    timer.join()


def test_a_connection_that_is_cut_never_carries_plain_text(peer: Peer) -> None:
    """``SSLSocket.shutdown`` makes it a plain socket before it shuts it down."""
    settings, wire = peer(_over_tls(b"")), Wire()
    port = int(settings["base_url"].rpartition(":")[2])
    raw = socket.create_connection(("127.0.0.1", port))
    with settings["tls"].wrap_socket(raw, server_hostname="127.0.0.1") as secured:
        wire.connected(secured)
        wire.cut()
        assert secured.version() is not None
        with pytest.raises(OSError):
            secured.sendall(b"Authorization: Bearer of a secret")
