"""A blocking httpx transport for plain HTTP/1.1, one connection per request.

Over TCP or a unix socket; ``https`` stays with httpx's own transport. Why our own: see ``http1``.
It is an ordinary ``httpx.BaseTransport``, so a caller may put another one in its place. It obeys
httpx's ``timeout`` extension, which the client changes when the body begins, and calls the
extension ``connected`` with the socket. Its limits hold for a whole phase (connecting to any of a
host's addresses; all of the answer's head), not for each step of one; the extension ``deadline``
(``time.monotonic``, or ``None``) is the end of everything.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from rocm_core.client.deadline import time_left
from rocm_core.client.plain_http.http1 import ResponseReader, request_bytes
from rocm_core.client.plain_http.httpx_import import httpx

READ_SIZE = 65536
HTTP_PORT = 80


def limit(request: httpx.Request, phase: str) -> float | None:
    """Return the present limit of a phase (``connect``, ``write``, ``read``) in seconds."""
    value: float | None = request.extensions.get("timeout", {}).get(phase)
    return value


def end_of(request: httpx.Request) -> float | None:
    """Return when the request is to have ended (``time.monotonic``)."""
    end: float | None = request.extensions.get("deadline")
    return end


def end_of_head(request: httpx.Request) -> float | None:
    """Return when the head of the answer is to have arrived, if the request is sent now."""
    left = time_left(end_of(request), limit(request, "read"))
    return None if left is None else time.monotonic() + left


class PlainTransport(httpx.BaseTransport):
    """Sends one request per connection."""

    def __init__(self, uds: str | None = None) -> None:
        """``uds``: a unix socket to connect to instead of the URL's host."""
        self._uds = uds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, wait for the head of the answer, and return it with its open body.

        Raises:
            httpx.TransportError: the connection fails, or a limit passes.
        """
        connection = self._connect(request)
        try:
            request.extensions.get("connected", lambda made: None)(connection)
            end = end_of_head(request)
            _send(connection, request)
            stream = _BodyStream(connection, request)
            stream.begin(end)
        except BaseException:
            connection.close()
            raise
        return httpx.Response(stream.reader.status, headers=stream.reader.headers, stream=stream)

    def _connect(self, request: httpx.Request) -> socket.socket:
        timeout = limit(request, "connect")
        try:
            if self._uds is None:
                return _connect_tcp(request.url.host, request.url.port or HTTP_PORT, timeout)
            return _connect_unix(self._uds, timeout)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error


def _connect_tcp(host: str, port: int, timeout: float | None) -> socket.socket:
    """Connect to the first address of the host that answers; ``timeout`` is that of all of them.

    ``socket.create_connection`` gives as much to each of them.
    """
    end = None if timeout is None else time.monotonic() + timeout
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(time_left(end))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
    raise failure


def _connect_unix(path: str, timeout: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _send(connection: socket.socket, request: httpx.Request) -> None:
    connection.settimeout(limit(request, "write"))
    try:
        connection.sendall(request_bytes(request))
    except TimeoutError as error:
        raise httpx.WriteTimeout(str(error)) from error
    except OSError as error:
        raise httpx.WriteError(str(error)) from error


class _BodyStream(httpx.SyncByteStream):
    """The body of an answer, read from the socket as it arrives."""

    def __init__(self, connection: socket.socket, request: httpx.Request) -> None:
        self.reader = ResponseReader()
        self._connection = connection
        self._request = request
        self._first = b""

    def begin(self, end: float | None) -> None:
        """Wait for the head of the answer, until ``end``."""
        while not self.reader.begun:
            self._connection.settimeout(time_left(end))
            self._first = self._receive()

    def __iter__(self) -> Iterator[bytes]:
        pause, end = limit(self._request, "read"), end_of(self._request)
        self._connection.settimeout(pause)
        if self._first:
            yield self._first
        while not self.reader.ended:
            if end is not None:
                self._connection.settimeout(time_left(end, pause))
            if body := self._receive():
                yield body

    def _receive(self) -> bytes:
        try:
            data = self._connection.recv(READ_SIZE)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if data:
            return self.reader.feed(data)
        self.reader.close()
        return b""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
