"""A scripted HTTP server, for what a healthy llama-server cannot be made to do.

    with FakeServer() as server:
        server.script("/completion", stream("completion_stream.b11434", 10, CUT))
        ...                                    # the client under test talks to server.url
        server.requests[0].disconnected.wait()

A reply is a status, headers and a list of steps: bytes to send, an event to wait for, a pause,
or a way to misbehave; or a function that makes one for a request. Bodies come from
``support/captures``; ``scripts`` puts answers of a chat together. One thread serves one connection;
each connection carries one request, as llama-server's do for clients that ask to close.
"""

from __future__ import annotations

import contextlib
import enum
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

CAPTURES = Path(__file__).parents[1] / "captures"
PATIENCE = 20.0  # no wait of a test is longer
_TICK = 0.005


class Fault(enum.Enum):
    """A way to misbehave."""

    STALL = "send nothing more, but keep the connection"
    CUT = "close the connection before the body has ended"
    RESET = "break the connection off (TCP RST)"


STALL, CUT, RESET = Fault.STALL, Fault.CUT, Fault.RESET
# Bytes are sent, events awaited, numbers are pauses in seconds.
Step = bytes | threading.Event | float | Fault


@dataclass(frozen=True)
class Reply:
    """One answer. ``before`` happens before the status line, ``steps`` are the body."""

    steps: Sequence[Step] = ()
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    before: Sequence[Step] = ()

    def head(self) -> bytes:
        """Status line and headers, as llama-server sends them."""
        fields = {
            "Server": "llama.cpp",
            "Content-Type": self.content_type,
            "Keep-Alive": "timeout=5, max=100",
        }
        if self.chunked:
            fields |= {"Transfer-Encoding": "chunked", "Connection": "close"}
        else:
            body = b"".join(step for step in self.steps if isinstance(step, bytes))
            fields["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in (fields | dict(self.headers)).items()]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class Request:
    """One request as it arrived. ``disconnected`` is set once the client has hung up."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    disconnected: threading.Event = field(default_factory=threading.Event)


# Makes the reply to a request.
Writer = Callable[[Request], Reply]


def capture(name: str) -> bytes:
    """The bytes of a captured body, for example ``chat_stream.b11434``."""
    return (CAPTURES / f"{name}.txt").read_bytes()


def captured_streams() -> list[str]:
    """The names of all captured generation streams."""
    return sorted(path.stem for path in CAPTURES.glob("*_stream*.txt"))


def answer(body: str | bytes, status: int = 200) -> Reply:
    """A plain answer; a string names a capture."""
    return Reply([capture(body) if isinstance(body, str) else body], status)


def stream(body: str | bytes, *between: Step, every: int | None = None) -> Reply:
    """A generation stream: a captured one by name, or any bytes.

    With ``every``, it is split every so many bytes. Steps in ``between`` come after the first
    event, and only what they let through follows.
    """
    data = capture(body) if isinstance(body, str) else body
    if every is not None:
        pieces = [data[at : at + every] for at in range(0, len(data), every)]
    else:
        pieces = [event + b"\n\n" for event in data.split(b"\n\n") if event]
    steps: list[Step] = [*pieces[:1], *between, *pieces[1:]]
    return Reply(steps, content_type="text/event-stream", chunked=True)


class _Over(Exception):
    """The client or the server went away; the script ends here."""


class FakeServer:
    """Serves scripted replies on loopback, or on a unix socket at ``uds``."""

    def __init__(self, uds: Path | None = None) -> None:
        self.requests: list[Request] = []
        # What a path without a script is answered.
        self.otherwise: Reply = answer("error_404.b11434", 404)
        # Every llama-server lists its model; what a test needs otherwise, it scripts.
        self._replies: dict[str, list[Reply | Writer]] = {
            "/v1/models": [answer("v1_models.b11434")]
        }
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX if uds else socket.AF_INET)
        self._listener.bind(str(uds) if uds else ("127.0.0.1", 0))
        self._listener.listen()
        name = self._listener.getsockname()
        self.url = "http://localhost" if uds else f"http://127.0.0.1:{name[1]}"

    def __enter__(self) -> FakeServer:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def script(self, path: str, *replies: Reply | Writer) -> None:
        """Answer ``path`` with these replies in turn; the last one repeats."""
        self._replies[path] = list(replies)

    def mute(self, *but: str) -> None:
        """Accept, and never answer: any path, ``but`` for those."""
        self.otherwise = Reply(before=[STALL])
        self._replies = {path: each for path, each in self._replies.items() if path in but}

    def request(self, number: int = 0) -> Request:
        """The request with this number, as soon as it has arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) > number, PATIENCE)
            return self.requests[number]

    # -- one connection ---------------------------------------------------------------------

    def _spawn(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._spawn(self._serve, self._listener.accept()[0])

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(_Over, OSError):
            request = _read_request(connection)
            if (grammar := _shown_grammar(request)) is not None:
                self._perform(connection, grammar)
                return
            with self._changed:
                reply = self._next_reply(request)
                self.requests.append(request)
                self._changed.notify_all()
            try:
                self._perform(connection, reply)
            finally:
                if _hung_up(connection):
                    request.disconnected.set()

    def _next_reply(self, request: Request) -> Reply:
        path = request.path
        missing: list[Reply | Writer] = [self.otherwise]
        replies = self._replies.get(path) or self._replies.get(path.partition("?")[0], missing)
        reply = replies[0] if len(replies) == 1 else replies.pop(0)
        return reply if isinstance(reply, Reply) else reply(request)

    def _perform(self, connection: socket.socket, reply: Reply) -> None:
        self._steps(connection, reply.before, chunked=False)
        connection.sendall(reply.head())
        self._steps(connection, reply.steps, chunked=reply.chunked)
        if reply.chunked:
            connection.sendall(b"0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        self._pause(connection, PATIENCE)

    def _steps(self, connection: socket.socket, steps: Iterable[Step], *, chunked: bool) -> None:
        for step in steps:
            if isinstance(step, bytes):
                frame = b"%x\r\n%b\r\n" % (len(step), step) if chunked else step
                connection.sendall(frame)
            elif isinstance(step, threading.Event):
                self._pause(connection, PATIENCE, step)
            elif isinstance(step, float):
                self._pause(connection, step)
            elif step is STALL:
                self._pause(connection, PATIENCE)
            else:
                if step is RESET:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                raise _Over

    def _pause(
        self, connection: socket.socket, seconds: float, until: threading.Event | None = None
    ) -> None:
        """Wait, unless the client hangs up or the server is closed."""
        end, until = time.monotonic() + seconds, until or threading.Event()
        while not until.wait(_TICK) and time.monotonic() < end:
            if self._stopped.is_set() or _hung_up(connection):
                raise _Over


def _shown_grammar(request: Request) -> Reply | None:
    """What every llama-server answers to the probe of its grammars; it is no request of a test."""
    body = request.body if isinstance(request.body, dict) else {}
    if not (body.get("verbose") and body.get("max_tokens") == 1 and "response_format" in body):
        return None
    settings = {"grammar": json.dumps(body["response_format"]), "grammar_lazy": False}
    return answer(json.dumps({"__verbose": {"generation_settings": settings}}).encode())


def _hung_up(connection: socket.socket) -> bool:
    """Whether the client has closed its end (it sends nothing but its one request)."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _read_request(connection: socket.socket) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, content = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, path, _version = line.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)
    }
    while len(content) < int(headers.get("content-length", 0)):
        content += _receive(connection)
    return Request(method, path, headers, json.loads(content) if content else None)


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise _Over
    return data
