"""The asyncio client: ``sync`` once more, with one ``httpx.AsyncClient`` per event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, TypeVar, cast

import httpx

from rocm_core.client.base import (
    LIMITS,
    ClientSettings,
    Diagnose,
    Refusal,
    Whole,
    body_begins,
    is_compressed,
    is_page,
)
from rocm_core.client.calls import Call, StreamCall
from rocm_core.client.cancellation import Wire
from rocm_core.client.deadline import Deadline, loop_alarm
from rocm_core.client.endpoints import AsyncEndpoints
from rocm_core.client.plain_http.aio import AsyncPlainTransport
from rocm_core.client.plain_http.sync import end_of_head
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.config import Timeouts
from rocm_core.errors import ClientError
from rocm_core.types import StreamEvent

T = TypeVar("T")


class AsyncClient(ClientSettings, AsyncEndpoints):
    """An asyncio client of one server.

    One instance serves any number of event loops, one after another or at once. Nothing is
    opened before the first request, and no connection outlives its request, so there is
    nothing to close in a loop that is gone. Settings are those of ``ClientSettings``.
    """

    def __init__(
        self, *args: Any, transport: httpx.AsyncBaseTransport | None = None, **settings: Any
    ) -> None:
        """``transport``: an ``httpx`` transport to use instead of our own, in every loop."""
        super().__init__(*args, **settings)
        self._own = self._plain and transport is None
        self._transport = transport
        self._lock = threading.Lock()
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Break off every request that is under way, in every loop, and close every socket."""
        self.abort_streams()
        with self._lock:
            client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _http(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._clients.get(loop)
            if client is None:
                client = httpx.AsyncClient(
                    transport=self._transport or self._own_transport(), **self._client_options()
                )
                self._clients[loop] = client
            return client

    def _own_transport(self) -> httpx.AsyncBaseTransport:
        if self._plain:
            return AsyncPlainTransport(self.uds)
        return httpx.AsyncHTTPTransport(verify=self._verify, limits=LIMITS)

    async def call(self, call: Call[T], timeouts: Timeouts | Deadline | None = None) -> T:
        """Send one request and return its answer; as ``Client.call``."""
        deadline = Deadline.of(timeouts or self.timeouts)
        http = self._http()
        async with _Diagnosed(self._diagnose):
            with self._wire() as wire, self._sending(http, deadline):
                request = self._request(
                    http, call.method, call.path, call.body, deadline, whole=True
                )
                request.extensions |= wire.extensions(wire.atrace)
                with self._alarmed(wire, deadline, request.extensions["deadline"]):
                    response = await http.send(request, stream=True)
                    async with contextlib.aclosing(response):
                        await self._raise_refusal(response, deadline)
                        Whole(response)
                        await response.aread()
        return self._read(call, response)

    async def stream(
        self, call: StreamCall, timeouts: Timeouts | Deadline | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Send one request and yield the events of its answer; as ``Client.stream``."""
        decoder = StreamDecoder(coalesce=call.coalesce, answers=call.answers)
        deadline = Deadline.of(timeouts or self.timeouts)
        async with _Diagnosed(self._diagnose):
            with self._wire(scoped=True) as wire:
                response = await self._open(call, deadline, wire)
                reader = _ReadingTask(wire)
                try:
                    with self._reading(deadline), self._alarmed(wire, deadline, deadline.end):
                        await self._raise_refusal(response, deadline, stream=True)
                        body_begins(response, deadline)
                        async with contextlib.aclosing(_chunks(response)) as chunks:
                            async for chunk in chunks:
                                reader.note_current()
                                for event in decoder.feed(chunk):
                                    yield event
                                if decoder.ended:
                                    return
                                deadline.check()
                        for event in decoder.close():
                            yield event
                finally:
                    reader.forget()
                    await response.aclose()

    async def _open(self, call: StreamCall, deadline: Deadline, wire: Wire) -> httpx.Response:
        http = self._http()
        with self._sending(http, deadline):
            request = self._request(http, "POST", call.path, call.body, deadline)
            request.extensions |= wire.extensions(wire.atrace)
            with self._alarmed(wire, deadline, end_of_head(request)):
                return await http.send(request, stream=True)

    def _alarmed(
        self, wire: Wire, deadline: Deadline, end: float | None
    ) -> contextlib.AbstractContextManager[None]:
        """Break the request off at ``end``; our own transport does that by itself."""
        if self._own:
            return contextlib.nullcontext()
        return loop_alarm(end, lambda: wire.cut(deadline.overdue(self.address)))

    async def _raise_refusal(
        self, response: httpx.Response, deadline: Deadline, *, stream: bool = False
    ) -> None:
        """Raise if an answer is an error or a redirect, or that of a stream a page."""
        if response.is_success and not (stream and is_page(response)):
            return
        refusal = Refusal(response, deadline)
        with contextlib.suppress(httpx.RequestError):  # its status says enough
            async with contextlib.aclosing(_unpacked(response)) as pieces:
                async for piece in pieces:
                    if refusal.take(piece):
                        break
        raise refusal.error()


def _unpacked(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    return cast(AsyncGenerator[bytes, None], response.aiter_bytes())


def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    if is_compressed(response):
        return _unpacked(response)
    # Not response.aiter_raw(): it costs as much per chunk as our transport. What httpx makes of
    # a stream is a generator; left to itself it would be closed by a task of its own.
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return cast(AsyncGenerator[bytes, None], aiter(response.stream))


class _Diagnosed:
    """Replaces the error of a request by a better one, if ``ClientSettings.diagnose`` has it.

    A class, not an ``asynccontextmanager``: that would be one more asynchronous generator, and
    ``asyncio.run`` closes all of them at once, whichever holds which.
    """

    def __init__(self, diagnose: Diagnose | None) -> None:
        self._diagnose = diagnose

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._diagnose is not None and isinstance(error, ClientError):
            try:
                better = await asyncio.to_thread(self._diagnose, error)
            except RuntimeError:  # no thread can be started, or the loop ends: nothing better
                return
            if better is not error:
                raise better from error


class _ReadingTask:
    """The task that reads a stream; if it is cancelled between two pieces, the connection is cut.

    Nothing tells a generator that its reader is gone while other code holds the cancelled task
    (``asyncio.wait``, ``gather``): the task's traceback holds the frames, and they the generator.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._task: asyncio.Task[Any] | None = None

    def note_current(self) -> None:
        """Remember the current task; a stream may be handed from task to task."""
        task = asyncio.current_task()
        if task is not self._task:
            self.forget()
            self._task = task
            if task is not None:
                task.add_done_callback(self._ended)

    def forget(self) -> None:
        """Watch no task any more."""
        if self._task is not None:
            self._task.remove_done_callback(self._ended)
            self._task = None

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._wire.cut()
