"""Send one request to a replica's llama-server, and its answer back, byte for byte.

    lease a replica ──▶ send ──▶ read until a byte of the answer is there ──▶ pass it on
          ▲                                  │
          └── another replica ◀── nothing came: restarted, died, refused the connection

An answer that has begun is never repeated, and one that broke off is never ended properly: the
client sees a body without its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import httpx

from rocm_core.client.plain_http.aio import AsyncPlainTransport
from rocm_core.errors import RocmError

log = logging.getLogger("ray.serve")

Refusals = tuple[type[Exception], ...]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# How many replicas a request may see fail before it has produced anything.
_TRIES = 5
# Seconds until a replica's server takes a connection. It answers when a slot is free: no limit.
_CONNECT = 5.0
# Headers of the answer that are the connection's, not the client's (RFC 9110, 7.6.1).
_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"server"})
_PASSED_ON = (b"content-type", b"accept")
_EVENTS = "text/event-stream"
_LOADING = 503


class Overloaded(RocmError):
    """Ray takes no more requests for this model now."""


class NoReplica(RocmError):
    """No replica could begin the answer."""


class CutOff(RocmError):
    """The replica ended in the middle of its answer."""


@dataclass
class Request:
    """One request of a client.

    Attributes:
        method: HTTP method.
        target: path and query.
        headers: as they came, names in lower case.
        body: whole.
        key: which prompt cache fits (``prompts.prompt_key``); empty for none.
    """

    method: str
    target: str
    headers: Mapping[bytes, bytes]
    body: bytes
    key: str = ""


class _Lease:
    """A replica that was lent for one request.

    Attributes:
        replica: its id.
        url, key: of its llama-server.
        over: done once the server, the actor or its node is known to be gone.
    """

    def __init__(self, offer: Mapping[str, Any], stream: Any) -> None:
        self.replica, self.url, self.key = offer["replica"], offer["url"], offer["key"]
        self.over = asyncio.ensure_future(_end_of(stream))


async def _end_of(stream: Any) -> None:
    # However it ends: ended with the server, or raised for an actor or a node that died.
    with contextlib.suppress(Exception):
        await anext(stream)


class Forwarder:
    """Sends requests to the replicas of one model."""

    def __init__(self, handle: Any, front: str = "", refusals: Refusals = ()) -> None:
        """Args:
        handle: Ray Serve's ``DeploymentHandle`` of the replicas.
        front: the name of this actor, by which replicas see that it lives.
        refusals: what the handle raises if it takes no more requests.
        """
        self._front = front
        self._handle = handle.options(method_name="lease", stream=True)
        self._refusals = refusals
        self._transport = AsyncPlainTransport()

    async def forward(self, request: Request, send: Send) -> None:
        """Answer ``request`` by ASGI messages.

        Raises:
            Overloaded: so many requests wait already that Ray takes no more.
            NoReplica: nothing was sent, and no replica could begin an answer.
            CutOff: a part of the answer was sent.
        """
        avoid: list[str] = []
        for number in range(_TRIES):
            last = number == _TRIES - 1
            wish = {"front": self._front, "key": request.key, "avoid": avoid, "wait": last}
            async with self._lease(wish) as lease:
                if lease is not None and await self._try(lease, request, send):
                    return
        raise NoReplica(f"{_TRIES} replicas failed before they could begin an answer")

    @contextlib.asynccontextmanager
    async def _lease(self, wish: dict[str, Any]) -> AsyncIterator[_Lease | None]:
        """Lend a replica; ``None`` if it has no server now, in which case it is avoided next."""
        stream = self._handle.remote(wish)
        lease = None
        try:
            offer = await self._offer(stream)
            if offer is not None:
                wish["avoid"].append(offer["replica"])
                lease = _Lease(offer, stream) if offer["ready"] else None
            yield lease
        finally:
            if lease is not None:
                lease.over.cancel()
            stream.cancel()

    async def _offer(self, stream: Any) -> Mapping[str, Any] | None:
        """Return what a replica offers; ``None`` if it died before it did."""
        try:
            offer: Mapping[str, Any] = await anext(stream)
            return offer
        except self._refusals as error:
            raise Overloaded(str(error)) from error
        except Exception as error:
            log.warning("a replica failed before it took a request: %s", error)
            return None

    async def _try(self, lease: _Lease, request: Request, send: Send) -> bool:
        """Send to one replica; return false if it began no answer."""
        head = asyncio.ensure_future(self._transport.handle_async_request(_out(lease, request)))
        try:
            await asyncio.wait({head, lease.over}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            head.add_done_callback(_close)
            head.cancel()
            raise
        if not head.done():
            head.add_done_callback(_close)
            head.cancel()
            return False
        if head.exception() is not None:
            return False
        response = head.result()
        # A node that is gone may leave the connection open for minutes.
        lease.over.add_done_callback(lambda _: _close(head))
        try:
            if response.status_code == _LOADING:
                return False
            if response.headers.get("content-type", "").startswith(_EVENTS):
                return await _pass_on(response, lease.replica, send)
            return await _pass_whole(response, lease.replica, send)
        finally:
            await response.aclose()


def _close(head: asyncio.Future[httpx.Response]) -> None:
    """Close the connection of an answer, if there is one."""
    if not head.cancelled() and head.exception() is None:
        # Awaits nothing, so one step runs all of it.
        with contextlib.suppress(StopIteration):
            head.result().stream.aclose().send(None)  # type: ignore[union-attr]


def _out(lease: _Lease, request: Request) -> httpx.Request:
    headers = [(name, request.headers[name]) for name in _PASSED_ON if name in request.headers]
    headers.append((b"authorization", b"Bearer " + lease.key.encode()))
    return httpx.Request(
        request.method,
        lease.url + request.target,
        headers=headers,
        content=request.body,
        extensions={"timeout": {"connect": _CONNECT}},
    )


async def _pass_on(response: httpx.Response, replica: str, send: Send) -> bool:
    pieces = aiter(response.stream)  # type: ignore[arg-type]
    begun = False
    try:
        async for piece in pieces:
            if not begun:
                await send(_start(response, replica))
                begun = True
            # What one read of the socket brought goes on as one message.
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except httpx.TransportError as error:
        if begun:
            raise CutOff(f"the replica ended in the middle of its answer ({error})") from error
        return False
    if not begun:
        await send(_start(response, replica))
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return True


async def _pass_whole(response: httpx.Response, replica: str, send: Send) -> bool:
    try:
        body = b"".join([piece async for piece in response.stream])  # type: ignore[union-attr]
    except httpx.TransportError:
        return False  # nothing of it was passed on
    await send(_start(response, replica, len(body)))
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return True


def _start(response: httpx.Response, replica: str, length: int | None = None) -> dict[str, Any]:
    headers = [field for field in response.headers.raw if field[0].lower() not in _HOP]
    headers.append((b"x-replica", replica.encode()))
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}
