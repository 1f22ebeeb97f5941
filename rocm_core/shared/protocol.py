"""The messages between a daemon and its clients: JSON lines over a unix socket.

    client → daemon   {"op": "acquire", "protocol": 1, "keep_alive": 600.0}
    daemon → client   {"is": "welcome", "protocol": 1}
                      {"is": "progress", "share": 0.4}, {"is": "log", "text": …}
                      {"is": "ready"}, {"is": "failed", "error": …}, {"is": "stopped"}
                      {"ask": "idle", "limit": 600.0}
    client → daemon   {"idle": 12.5}, {"release": 700.0}

    client → daemon   {"op": "status"}: the daemon answers with the facts of ``SharedServerInfo``
    client → daemon   {"op": "stop"}: the daemon stops its server and exits

All times are seconds. The connection is the lease: the kernel closes it when the client dies, and
``release`` says how long the client had been idle when it gave the lease back. The API key is never
sent: a client reads it from the registry entry.

Both sides state their ``VERSION``, because two versions of this package may run side by side:

- Each side ignores fields and messages that it does not know, so an addition that an older side may
  ignore does not change the version.
- Every other change increments it. The version is part of a server's key (``registry.key_of``), so
  another version starts a server of its own. ``acquire`` and ``welcome`` state it once more: a
  client does not use a server whose daemon has another version.
- ``status``, ``stop``, the ``protocol`` field of ``acquire`` and ``welcome``, and the names of the
  registry's files are the same in all versions, so that ``llama-rocm ps``, ``stop`` and ``logs``
  work for servers of every version.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from rocm_core import errors
from rocm_core.errors import RocmError, ServerStartError

VERSION = 1
_MAX_LINE_BYTES = 2**20
Line = dict[str, Any]


class Channel:
    """A connection that carries JSON lines. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._sending = threading.Lock()
        self._rest = b""

    @classmethod
    def connect(cls, path: Path, timeout: float) -> Channel:
        """Connect to the daemon that listens on ``path``, within ``timeout`` seconds.

        Raises:
            OSError: nobody listens.
        """
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.settimeout(None)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def send(self, **line: Any) -> None:
        """Send one line; blocks while the other side does not read.

        Raises:
            OSError: the other side has closed the connection.
        """
        with self._sending:
            self._socket.sendall(orjson.dumps(line) + b"\n")

    def send_last(self, **line: Any) -> None:
        """Send one line unless that would block, and shut the connection down."""
        if self._sending.acquire(timeout=0.2):
            with contextlib.suppress(OSError):
                self._socket.send(orjson.dumps(line) + b"\n", socket.MSG_DONTWAIT)
            self._sending.release()
        self.shutdown()

    def receive(self, timeout: float | None = None) -> Line | None:
        """Return the next line; ``None`` when the connection has ended or carries no JSON.

        Args:
            timeout: seconds; default: wait without limit.

        Raises:
            TimeoutError: no line came within ``timeout`` seconds.
        """
        while b"\n" not in self._rest:
            data = b""
            with contextlib.suppress(ConnectionError):
                self._socket.settimeout(timeout)
                data = self._socket.recv(65536)
            if not data or len(self._rest) > _MAX_LINE_BYTES:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None  # a program that is no client of ours
        return parsed if isinstance(parsed, dict) else None

    def lines(self) -> Iterator[Line]:
        """Yield every line until the connection ends."""
        while (line := self.receive()) is not None:
            yield line

    def shutdown(self) -> None:
        """End the connection for both sides; a pending ``receive`` returns ``None``."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this process's descriptor; a forked copy keeps its own (see ``shutdown``)."""
        self._socket.close()


def version_mismatch(model: str, key: str, *, daemon: object, client: object) -> ServerStartError:
    """Return the error for a client that has reached a daemon of another protocol version.

    Args:
        model: name of the model that the daemon serves.
        key: the server's key in the registry.
        daemon: the version that the daemon stated; 0 if it stated none.
        client: the version that the client stated; 0 if it stated none.
    """
    return ServerStartError(
        f"another version of llama-rocm runs the shared server of {model} (protocol {daemon}; "
        f"this program has protocol {client}). End it with: llama-rocm stop {key}; or use "
        "keep_alive=0."
    )


def error_to_line(error: RocmError) -> Line:
    """Return an error as plain data: class name, arguments and attributes."""
    state = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in error.__dict__.items()
        if isinstance(value, (str, int, float, tuple, type(None)))
    }
    return {"type": type(error).__name__, "args": [str(a) for a in error.args], "state": state}


def error_from_line(line: Line) -> RocmError:
    """Return the error that ``error_to_line`` has described.

    A class that this version does not know becomes a ``RocmError``; no class outside of
    ``rocm_core.errors`` is ever made.
    """
    cls = getattr(errors, str(line.get("type")), RocmError)
    if not (isinstance(cls, type) and issubclass(cls, RocmError)):
        cls = RocmError
    error = cls.__new__(cls)
    error.args = tuple(line.get("args", ()))
    for name, value in line.get("state", {}).items():
        setattr(error, name, tuple(value) if isinstance(value, list) else value)
    return error
