"""The scripted server, a process of its own: ``python -m benchmarks.server FD``.

Speaks just enough HTTP on a raw loopback socket. How and how much it streams is in the URL:
``/burst/3000/v1/chat/completions``. As llama-server does, it sends each event as one HTTP chunk
of its own, and closes the connection at the end although it advertises keep-alive.

    burst   everything at once, as to a client that lags behind: one read finds many events
    agent   the same; what it says is the next step of a task (``agents/script.py``)
    paced   a piece is sent when the consumer has taken the one before
    tick-PERIOD-SLOTS
            a piece every PERIOD µs, whatever the consumer does, to at most SLOTS requests at once
            (0: to all): the others wait without a byte, as llama-server's do (``clock.py``)

How ``paced`` knows: ``FD`` is 8 bytes of memory shared with the consumer, who counts the pieces
it has taken there. The server looks every 50 µs or so. So the client is truly asleep in the
kernel when a piece comes, one read finds exactly one event (``tests/benchmarks`` shows
it), and what the client pays for that is a memory write, not a system call. This is how tokens
come from a model: each long after the one before has been dealt with.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
import sys
import threading
import time

from benchmarks import script
from benchmarks.agents import script as agent_script
from benchmarks.clock import Clock

_LOOK = 50e-6
_PATIENCE = 10.0
_HEAD = b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: %b\r\n%b\r\n\r\n"
_STREAMED = b"Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100"
_CLOSING = b"Transfer-Encoding: chunked\r\nConnection: close"


class _Gone(Exception):
    """The client has left."""


_clock = Clock()


def serve(taken: memoryview) -> None:
    """Print the port, then answer until standard input ends (so never outlive the parent)."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, taken), daemon=True).start()


def _exit_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _answer(connection: socket.socket, taken: memoryview) -> None:
    with connection, contextlib.suppress(OSError, _Gone):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path, asked = _read_request(connection)
        _, mode, chunks, route = path.split("/", 3)
        if route in ("props", "health", "v1/models"):
            body = script.capture(route.replace("/", "_"))
            if route == "props" and mode.startswith("tick-"):
                body = script.props(body, slots=int(mode.split("-")[2]))
            _send_whole(connection, body)
            return
        if route == "apply-template":
            _send_whole(connection, agent_script.rendered(json.loads(asked)["messages"]))
            return
        writes = _writes(mode, route, int(chunks), asked)
        frames = [b"%x\r\n%b\r\n" % (len(write), write) for write in writes]
        # Ollama's client has a pool and no retries: told nothing, it now and then sends its next
        # request on the connection that is being closed, and fails.
        head = _HEAD % (b"text/event-stream", _CLOSING if route == "api/chat" else _STREAMED)
        if mode.startswith("tick-"):
            _, period, slots = mode.split("-")
            with _clock.slot(int(slots)):
                connection.sendall(head)
                _clock.send(connection, frames, int(period) / 1e6)
        elif mode == "paced":
            connection.sendall(head)
            _send_paced(connection, frames, taken, int(chunks))
        else:
            connection.sendall(head + b"".join(frames))
        connection.sendall(b"0\r\n\r\n")


def _send_whole(connection: socket.socket, body: bytes) -> None:
    length = b"Content-Length: %d\r\nConnection: close" % len(body)
    connection.sendall(_HEAD % (b"application/json", length) + body)


def _writes(mode: str, route: str, chunks: int, asked: bytes) -> list[bytes]:
    ollama = route == "api/chat"
    if mode == "agent":
        step = agent_script.step_of(json.loads(asked)["messages"])
        return (agent_script.ollama_step if ollama else agent_script.step_writes)(step, chunks)
    return (script.ollama_lines if ollama else script.writes)(chunks)


def _send_paced(
    connection: socket.socket, frames: list[bytes], taken: memoryview, chunks: int
) -> None:
    """Frame n waits until n pieces were taken; what follows the last piece does not wait."""
    for number, frame in enumerate(frames):
        end = time.monotonic() + _PATIENCE
        while taken[0] < min(number, chunks):
            time.sleep(_LOOK)
            if time.monotonic() > end:
                raise _Gone
        connection.sendall(frame)


def _read_request(connection: socket.socket) -> tuple[str, bytes]:
    """Read one whole request and return its path and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = dict(field.lower().split(": ", 1) for field in fields)
    missing = int(headers.get("content-length", 0)) - len(body)
    while missing > 0:
        more = _receive(connection)
        body += more
        missing -= len(more)
    return line.split(" ")[1], body


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise _Gone
    return data


if __name__ == "__main__":
    serve(memoryview(mmap.mmap(int(sys.argv[1]), 8)).cast("Q"))
