"""What a keeper and its clients say to each other: JSON lines over a unix socket.

    client → keeper   {"op": "attach", "keep_alive": 600.0}, {"op": "status"}, {"op": "stop"}
    keeper → client   {"is": "ready"}, {"is": "failed", "error": …}, {"is": "stopped", …},
                      {"is": "progress", "share": 0.4}, {"is": "log", "text": …},
                      {"ask": "idle", "limit": 600.0}
    client → keeper   {"idle": 12.5}, {"bye": 700.0}

A client that is attached keeps its connection; the kernel closes it when the client dies. The
API key never comes this way: it is read from the registry entry.
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
from rocm_core.errors import RocmError

_LONGEST = 2**20
Line = dict[str, Any]


class Channel:
    """One connection, line by line. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._sending = threading.Lock()
        self._rest = b""

    @classmethod
    def connect(cls, path: Path, timeout: float) -> Channel:
        """Connect to a keeper.

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
        """Send a line; raises ``OSError`` if the other side is gone."""
        with self._sending:
            self._socket.sendall(orjson.dumps(line) + b"\n")

    def farewell(self, **line: Any) -> None:
        """Send a last line, unless the other side has stopped reading, and hang up."""
        if self._sending.acquire(timeout=0.2):
            with contextlib.suppress(OSError):
                self._socket.send(orjson.dumps(line) + b"\n", socket.MSG_DONTWAIT)
            self._sending.release()
        self.hang_up()

    def receive(self, timeout: float | None = None) -> Line | None:
        """The next line, or ``None`` at the end.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
        """
        while b"\n" not in self._rest:
            data = b""
            with contextlib.suppress(ConnectionError):
                self._socket.settimeout(timeout)
                data = self._socket.recv(65536)
            if not data or len(self._rest) > _LONGEST:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None  # not one of ours: as good as gone
        return parsed if isinstance(parsed, dict) else None

    def lines(self) -> Iterator[Line]:
        """Every line until the end."""
        while (line := self.receive()) is not None:
            yield line

    def hang_up(self) -> None:
        """End the conversation; a pending ``receive`` returns."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this program's descriptor only (see ``hang_up``)."""
        self._socket.close()


def error_to_line(error: RocmError) -> Line:
    """An error as plain data."""
    state = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in error.__dict__.items()
        if isinstance(value, (str, int, float, tuple, type(None)))
    }
    return {"type": type(error).__name__, "args": [str(a) for a in error.args], "state": state}


def error_from_line(line: Line) -> RocmError:
    """The error again, of its own class."""
    cls = getattr(errors, str(line.get("type")), RocmError)
    if not (isinstance(cls, type) and issubclass(cls, RocmError)):
        cls = RocmError
    error = cls.__new__(cls)
    error.args = tuple(line.get("args", ()))
    for name, value in line.get("state", {}).items():
        setattr(error, name, tuple(value) if isinstance(value, list) else value)
    return error
