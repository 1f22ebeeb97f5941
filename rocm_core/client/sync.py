"""The blocking client: sends a call, reads its answer or its stream. Thread-safe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any, TypeVar

import httpx

from rocm_core.client.base import (
    LIMITS,
    ClientSettings,
    Refusal,
    Whole,
    body_begins,
    is_compressed,
    is_page,
)
from rocm_core.client.calls import Call, StreamCall
from rocm_core.client.cancellation import Wire
from rocm_core.client.deadline import Deadline, alarm
from rocm_core.client.endpoints import Endpoints
from rocm_core.client.plain_http.sync import PlainTransport, end_of_head
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.config import Timeouts
from rocm_core.errors import ClientError
from rocm_core.types import StreamEvent

T = TypeVar("T")


class Client(ClientSettings, Endpoints):
    """A blocking client of one server.

    One instance serves any number of threads. Nothing is opened before the first request, and
    each request has a connection of its own. Settings are those of ``ClientSettings``.
    """

    def __init__(
        self, *args: Any, transport: httpx.BaseTransport | None = None, **settings: Any
    ) -> None:
        """``transport``: an ``httpx`` transport to use instead of our own."""
        super().__init__(*args, **settings)
        self._own = self._plain and transport is None
        self._http = httpx.Client(
            transport=transport or self._own_transport(), **self._client_options()
        )

    def _own_transport(self) -> httpx.BaseTransport:
        if self._plain:
            return PlainTransport(self.uds)
        return httpx.HTTPTransport(verify=self._verify, limits=LIMITS)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Break off every request that is under way, and close every socket."""
        self.abort_streams()
        self._http.close()

    def call(self, call: Call[T], timeouts: Timeouts | Deadline | None = None) -> T:
        """Send one request, read its whole answer, and return what the call reads from it.

        Args:
            call: the request (``rocm_core.client.calls``).
            timeouts: limits of this request, in place of the client's; a ``Deadline``: of the
                call that the request is a part of. ``first_token`` is that of the whole answer.

        Raises:
            ClientError: any class below it in the tree of ``rocm_core.errors``.
        """
        deadline = Deadline.of(timeouts or self.timeouts)
        http = self._http
        with self._diagnosed(), self._wire() as wire, self._sending(http, deadline):
            request = self._request(http, call.method, call.path, call.body, deadline, whole=True)
            request.extensions |= wire.extensions(wire.trace)
            with (
                self._alarmed(wire, deadline, request.extensions["deadline"]),
                contextlib.closing(http.send(request, stream=True)) as response,
            ):
                self._raise_refusal(response, deadline)
                Whole(response)
                response.read()
        return self._read(call, response)

    def stream(
        self, call: StreamCall, timeouts: Timeouts | Deadline | None = None
    ) -> Generator[StreamEvent, None, None]:
        """Send one request and yield the events of its answer.

        The request is sent at the first ``next()``. Closing the iterator closes the
        connection, and llama-server frees the slot.

        Args:
            call: the request (``rocm_core.client.calls``).
            timeouts: limits of this request, in place of the client's; a ``Deadline``: of the
                call that the request is a part of.

        Raises:
            ClientError: any class below it; ``StreamInterrupted`` if the end marker is missing.
        """
        decoder = StreamDecoder(coalesce=call.coalesce, answers=call.answers)
        deadline = Deadline.of(timeouts or self.timeouts)
        with self._diagnosed(), self._open(call, deadline) as response:
            for chunk in _chunks(response):
                yield from decoder.feed(chunk)
                if decoder.ended:
                    return
                deadline.check()
            yield from decoder.close()

    @contextlib.contextmanager
    def _open(self, call: StreamCall, deadline: Deadline) -> Iterator[httpx.Response]:
        http = self._http
        with self._wire(scoped=True) as wire:
            with self._sending(http, deadline):
                request = self._request(http, "POST", call.path, call.body, deadline)
                request.extensions |= wire.extensions(wire.trace)
                with self._alarmed(wire, deadline, end_of_head(request)):
                    response = http.send(request, stream=True)
            try:
                with self._reading(deadline), self._alarmed(wire, deadline, deadline.end):
                    self._raise_refusal(response, deadline, stream=True)
                    body_begins(response, deadline)
                    yield response
            finally:
                # A stream that is still open when the program ends is closed by the kernel:
                # httpx measures the elapsed time here, and datetime is gone by then (CPython
                # 3.13.0 crashes).
                if not sys.is_finalizing():
                    response.close()

    def _alarmed(
        self, wire: Wire, deadline: Deadline, end: float | None
    ) -> contextlib.AbstractContextManager[None]:
        """Break the request off at ``end``; our own transport does that by itself."""
        if self._own:
            return contextlib.nullcontext()
        return alarm(end, lambda: wire.cut(deadline.overdue(self.address)))

    def _raise_refusal(
        self, response: httpx.Response, deadline: Deadline, *, stream: bool = False
    ) -> None:
        """Raise if an answer is an error or a redirect, or that of a stream a page."""
        if response.is_success and not (stream and is_page(response)):
            return
        refusal = Refusal(response, deadline)
        with contextlib.suppress(httpx.RequestError):  # its status says enough
            for piece in response.iter_bytes():
                if refusal.take(piece):
                    break
        raise refusal.error()

    @contextlib.contextmanager
    def _diagnosed(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            better = self._diagnose(error) if self._diagnose else error
            if better is error:
                raise
            raise better from error


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    if is_compressed(response):
        return response.iter_bytes()
    assert isinstance(response.stream, httpx.SyncByteStream)
    # The stream itself: response.iter_raw() costs as much per chunk as our transport.
    return iter(response.stream)
