"""The transport of ``sync`` for asyncio, on an ``asyncio.Protocol``.

Closing a connection never awaits: a generator that is being closed must not give control away
halfway, or ``asyncio.run`` closes it a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx

from rocm_core.client.deadline import time_left
from rocm_core.client.plain_http.http1 import ResponseReader, request_bytes
from rocm_core.client.plain_http.sync import HTTP_PORT, READ_SIZE, end_of, end_of_head, limit

_MAX_WAITING = 4 * READ_SIZE


class AsyncPlainTransport(httpx.AsyncBaseTransport):
    """Sends one request per connection; serves any number of event loops."""

    def __init__(self, uds: str | None = None) -> None:
        """``uds``: a unix socket to connect to instead of the URL's host."""
        self._uds = uds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, wait for the head of the answer, and return it with its open body.

        Raises:
            httpx.TransportError: the connection fails, or a limit passes.
        """
        wire = await self._connect(request)
        try:
            request.extensions.get("connected", lambda made: None)(wire.socket)
            wire.transport.write(request_bytes(request))
            stream = _BodyStream(wire, request)
            await stream.begin(end_of_head(request))
        except BaseException:
            wire.hang_up()
            raise
        return httpx.Response(stream.reader.status, headers=stream.reader.headers, stream=stream)

    async def _connect(self, request: httpx.Request) -> _Wire:
        loop, url = asyncio.get_running_loop(), request.url
        if self._uds is None:
            made: Any = loop.create_connection(_Wire, url.host, url.port or HTTP_PORT)
        else:
            made = loop.create_unix_connection(_Wire, self._uds)
        try:
            _, wire = await asyncio.wait_for(made, limit(request, "connect"))
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return wire  # type: ignore[no-any-return]


class _BodyStream(httpx.AsyncByteStream):
    """The body of an answer, read from the socket as it arrives."""

    def __init__(self, wire: _Wire, request: httpx.Request) -> None:
        self.reader = ResponseReader()
        self._wire = wire
        self._request = request
        self._timeout: float | None = None
        self._first = b""

    async def begin(self, end: float | None) -> None:
        """Wait for the head of the answer, until ``end``."""
        while not self.reader.begun:
            self._first = self._fed(await self._wire.receive(time_left(end)))

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._timeout = limit(self._request, "read")
        self._wire.expire_after(time_left(end_of(self._request)))
        return self

    async def __anext__(self) -> bytes:
        body, self._first = self._first, b""
        while not body:
            if self.reader.ended:
                raise StopAsyncIteration
            body = self._fed(await self._wire.receive(self._timeout))
        return body

    def _fed(self, data: bytes) -> bytes:
        if data:
            return self.reader.feed(data)
        self.reader.close()
        return b""

    async def aclose(self) -> None:
        """Close the connection, without awaiting anything."""
        self._wire.hang_up()


class _Wire(asyncio.Protocol):
    """One connection: the bytes that have arrived, and at most one reader that waits for more."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._over = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._since = 0.0
        self._timeout: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._expired = False

    @property
    def socket(self) -> Any:
        """The socket as asyncio shows it; any thread can shut it down."""
        return self.transport.get_extra_info("socket")

    def hang_up(self) -> None:
        """Close now: the server sees it even if this event loop never runs again."""
        self._unwatch()
        if self._expiry is not None:
            self._expiry.cancel()
        with contextlib.suppress(OSError, TypeError):  # gone already; uvloop's cannot
            self.socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.transport.abort()

    def expire_after(self, seconds: float | None) -> None:
        """Let ``receive`` raise ``httpx.ReadTimeout`` from then on instead of waiting."""
        if seconds is not None:
            self._expiry = self._loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._expired = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(httpx.ReadTimeout("the time for the answer is over"))

    async def receive(self, timeout: float | None) -> bytes:
        """Return the bytes that arrived since the last call; empty at the connection's end.

        Raises:
            httpx.ReadTimeout: nothing arrived for ``timeout`` seconds.
            httpx.ReadError: the connection broke.
        """
        if not self._pieces and not self._over:
            await self._arrival(timeout)
        pieces = self._pieces
        if not pieces:
            if self._error is not None:
                raise httpx.ReadError(str(self._error)) from self._error
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return data

    async def _arrival(self, timeout: float | None) -> None:
        if self._expired:
            raise httpx.ReadTimeout("the time for the answer is over")
        self._waiter = self._loop.create_future()
        self._since = self._loop.time()
        if timeout != self._timeout:
            self._timeout = timeout
            self._unwatch()
        if timeout is not None and self._watch is None:
            self._watch = self._loop.call_later(timeout, self._look, timeout)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self, timeout: float) -> None:
        # One timer per silence instead of one per read: it is set anew only when it fires.
        self._watch = None
        if self._waiter is None or self._waiter.done():
            return
        left = self._since + timeout - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look, timeout)
        else:
            self._waiter.set_exception(httpx.ReadTimeout(f"nothing for {timeout} s"))

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No check of its class: uvloop's transports are no subclass of ``asyncio.Transport``.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _MAX_WAITING and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._over, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
