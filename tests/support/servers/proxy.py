"""A proxy on loopback that may do harm: cut, delay, duplicate or garble what a server answers.

    with Proxy(server.url, cut(300)) as proxy:
        ...                                   # the client under test talks to proxy.url

Requests pass as they are (but for a path prefix, if it has one to take off). Each connection
gets a damage of its own, seeded by its number.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from tests.support.servers.fake_server import CUT, PATIENCE, RESET, Fault

# What comes out of a damage: bytes to pass on, pauses in seconds, or the end.
Damage = Callable[[Iterator[bytes], random.Random], Iterator[bytes | float | Fault]]
# Bytes that no JSON string, number or key may hold, nor any line of HTTP.
_CONTROL = bytes(b for b in range(32) if b not in b"\t\n\r")


def faithful(answer: Iterator[bytes], chance: random.Random) -> Iterator[bytes | float | Fault]:
    """No harm."""
    yield from answer


def cut(most: int, how: Fault = CUT) -> Damage:
    """The connection ends somewhere in the first ``most`` bytes."""

    def damage(answer: Iterator[bytes], chance: random.Random) -> Iterator[bytes | float | Fault]:
        left = chance.randrange(most)
        for data in answer:
            yield data[:left]
            left -= len(data)
            if left < 0:
                break
        yield how

    return damage


def delayed(answer: Iterator[bytes], chance: random.Random) -> Iterator[bytes | float | Fault]:
    """Bytes dribble in, torn anywhere, with pauses."""
    for data in answer:
        at = 0
        while at < len(data):
            step = chance.randint(1, 400)
            yield data[at : at + step]
            yield chance.random() / 500
            at += step


def duplicated(answer: Iterator[bytes], chance: random.Random) -> Iterator[bytes | float | Fault]:
    """A few bytes come twice, once per 4 kB or so. Less than an event, which repeats nothing."""
    for data in answer:
        at = chance.randrange(4096)
        length = chance.randint(1, 40)
        yield data[: at + length] + data[at:] if at < len(data) else data


def garbled(answer: Iterator[bytes], chance: random.Random) -> Iterator[bytes | float | Fault]:
    """One byte in 4 kB or so becomes a control character."""
    for data in answer:
        at = chance.randrange(4096)
        if at < len(data):
            yield data[:at] + bytes([chance.choice(_CONTROL)]) + data[at + 1 :]
        else:
            yield data


class Proxy:
    """Listens on a port of its own and passes on to the server at ``upstream``."""

    def __init__(
        self,
        upstream: str,
        damage: Damage = faithful,
        *,
        seed: int = 0,
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname and parts.port
        self._upstream = (parts.hostname, parts.port)
        self._damage, self._seed, self._prefix, self._tls = damage, seed, prefix.encode(), tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}{prefix}"
        self.connections = 0

    def __enter__(self) -> Proxy:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw = self._listener.accept()[0]
                self.connections += 1
                self._spawn(self._serve, raw, self._seed * 100_003 + self.connections)

    def _serve(self, raw: socket.socket, seed: int) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(raw.close)
            stack.enter_context(contextlib.suppress(OSError))
            client = self._tls.wrap_socket(raw, server_side=True) if self._tls else raw
            stack.callback(client.close)
            server = stack.enter_context(socket.create_connection(self._upstream))
            request = self._head(client)
            if request.startswith(b"HTTP/"):
                client.sendall(request)
                return
            server.sendall(request)
            self._answer(client, self._arrivals(client, server), random.Random(seed))

    def _head(self, client: socket.socket) -> bytes:
        """What has arrived of the request, its prefix taken off, or the answer of a refusal."""
        data = client.recv(65536)
        if not self._prefix:
            return data
        method, path, rest = data.split(b" ", 2)
        if not path.startswith(self._prefix + b"/"):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        return b" ".join([method, path.removeprefix(self._prefix), rest])

    def _arrivals(self, client: socket.socket, server: socket.socket) -> Iterator[bytes]:
        """What the server answers; what the client still sends is passed on meanwhile."""
        while True:
            ready, _, _ = select.select([client, server], [], [], PATIENCE)
            if client in ready:
                if not (sent := client.recv(65536)):
                    return  # the client has gone: so has its request
                server.sendall(sent)
            if server in ready:
                if not (data := server.recv(65536)):
                    return
                yield data
            if not ready:
                return

    def _answer(
        self, client: socket.socket, answer: Iterator[bytes], chance: random.Random
    ) -> None:
        for step in self._damage(answer, chance):
            if isinstance(step, bytes):
                client.sendall(step)
            elif isinstance(step, float):
                self._stopped.wait(step)
            else:
                if step is RESET:
                    linger = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
        client.shutdown(socket.SHUT_WR)
