"""The asyncio transport: the twin of ``sync``, one ``httpx.AsyncClient`` per event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

import httpx

from rocm_core.client import calls
from rocm_core.client.base import LIMITS, ClientSettings, Deadline, Diagnose, Wire, body_begins
from rocm_core.client.calls import Call, Messages, StreamCall
from rocm_core.client.failures import error_from_response
from rocm_core.client.plain_http.aio import AsyncPlainTransport
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.errors import ClientError
from rocm_core.types import ServerProps, StreamEvent

T = TypeVar("T")
_DEFAULTS = GenerateConfig(max_tokens=None, temperature=None)


class AsyncClient(ClientSettings):
    """Every llama-server endpoint, for asyncio.

    One instance serves any number of event loops, one after another or at once. Nothing is
    opened before the first request, and no connection outlives its request, so there is
    nothing to close in a loop that is gone.
    """

    def __init__(
        self, *args: Any, transport: httpx.AsyncBaseTransport | None = None, **settings: Any
    ) -> None:
        """``transport``: an ``httpx`` transport to use instead of our own, in every loop."""
        super().__init__(*args, **settings)
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
        """Break off open streams, in every loop, and let go of every socket."""
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

    async def call(self, call: Call[T], timeouts: Timeouts | None = None) -> T:
        """Send one request and read its whole answer; errors as in ``Client.call``."""
        deadline = Deadline(timeouts or self.timeouts)
        http = self._http()
        async with _Diagnosed(self._diagnose):
            with self._wire() as wire, self._sending(http, deadline):
                request = self._request(http, call.method, call.path, call.body, deadline)
                request.extensions |= wire.extensions(wire.atrace)
                response = await http.send(request)
        return self._read(call, response)

    async def stream(
        self, call: StreamCall, timeouts: Timeouts | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Send one request and yield its events; errors as in ``Client.stream``."""
        decoder = StreamDecoder(coalesce=call.coalesce)
        deadline = Deadline(timeouts or self.timeouts)
        async with _Diagnosed(self._diagnose):
            with self._wire(scoped=True) as wire:
                response = await self._open(call, deadline, wire)
                reader = _Reader(wire)
                try:
                    with self._reading(deadline):
                        if response.status_code >= 400:
                            await response.aread()
                            raise error_from_response(response)
                        async with contextlib.aclosing(_chunks(response)) as chunks:
                            async for chunk in chunks:
                                reader.is_here()
                                for event in decoder.feed(chunk):
                                    yield event
                                if decoder.ended:
                                    return
                                deadline.check()
                        for event in decoder.close():
                            yield event
                finally:
                    reader.leaves()
                    await response.aclose()

    async def _open(self, call: StreamCall, deadline: Deadline, wire: Wire) -> httpx.Response:
        http = self._http()
        with self._sending(http, deadline):
            request = self._request(http, "POST", call.path, call.body, deadline)
            request.extensions |= wire.extensions(wire.atrace)
            response = await http.send(request, stream=True)
        body_begins(response, deadline)
        return response

    # -- endpoints (see rocm_core.client.calls) ---------------------------------------------

    async def health(self) -> str:
        """``GET /health``."""
        return await self.call(calls.health())

    async def props(self) -> ServerProps:
        """``GET /props``."""
        return await self.call(calls.props())

    async def slots(self) -> list[dict[str, Any]]:
        """``GET /slots``."""
        return await self.call(calls.slots())

    async def metrics(self) -> dict[str, float]:
        """``GET /metrics``."""
        return await self.call(calls.metrics())

    async def models(self) -> list[dict[str, Any]]:
        """``GET /v1/models``."""
        return await self.call(calls.models())

    async def lora_adapters(self) -> list[dict[str, Any]]:
        """``GET /lora-adapters``."""
        return await self.call(calls.lora_adapters())

    async def tokenize(self, text: str, **options: bool) -> list[int]:
        """``POST /tokenize``."""
        return await self.call(calls.tokenize(text, **options))

    async def tokenize_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """``POST /tokenize``, several texts at once."""
        return await self.call(calls.tokenize_batch(texts))

    async def detokenize(self, ids: Sequence[int]) -> str:
        """``POST /detokenize``."""
        return await self.call(calls.detokenize(ids))

    async def apply_template(self, messages: Messages, **fields: Any) -> str:
        """``POST /apply-template``."""
        return await self.call(calls.apply_template(messages, **fields))

    async def count_tokens(self, messages: Messages, **fields: Any) -> int:
        """``POST /v1/chat/completions/input_tokens``."""
        return await self.call(calls.count_tokens(messages, **fields))

    async def embeddings(
        self, inputs: Sequence[str], *, normalize: bool | None = None
    ) -> list[list[float]]:
        """``POST /v1/embeddings``."""
        return await self.call(calls.embeddings(inputs, normalize=normalize))

    async def rerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """``POST /v1/rerank``."""
        return await self.call(calls.rerank(query, documents, top_n))

    def completion(
        self, prompt: str | Sequence[int], config: GenerateConfig = _DEFAULTS
    ) -> AsyncGenerator[StreamEvent, None]:
        """``POST /completion``."""
        return self.stream(calls.completion(prompt, config))

    def text_completion(
        self, prompt: str, config: GenerateConfig = _DEFAULTS, model: str | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """``POST /v1/completions``."""
        return self.stream(calls.text_completion(prompt, config, model))

    def chat(
        self,
        messages: Messages,
        config: GenerateConfig = _DEFAULTS,
        model: str | None = None,
        **fields: Any,
    ) -> AsyncGenerator[StreamEvent, None]:
        """``POST /v1/chat/completions``."""
        return self.stream(calls.chat(messages, config, model, **fields))


def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    # Not response.aiter_raw(): it costs as much per chunk as our transport. What httpx makes of
    # a stream is a generator; left to itself it would be closed by a task of its own.
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return cast(AsyncGenerator[bytes, None], aiter(response.stream))


class _Diagnosed:
    """Asks for a better reason when a request fails (``ClientSettings.diagnose``).

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
            better = await asyncio.to_thread(self._diagnose, error)
            if better is not error:
                raise better from error


class _Reader:
    """The task that reads a stream; if it is cancelled between two pieces, the wire is cut.

    Nothing tells a generator that its reader is gone while somebody holds the cancelled task
    (``asyncio.wait``, ``gather``): the task's traceback holds the frames, and they the generator.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._task: asyncio.Task[Any] | None = None

    def is_here(self) -> None:
        """Remember who reads now; a stream may be handed from task to task."""
        task = asyncio.current_task()
        if task is not self._task:
            self.leaves()
            self._task = task
            if task is not None:
                task.add_done_callback(self._ended)

    def leaves(self) -> None:
        """Nobody reads any more."""
        if self._task is not None:
            self._task.remove_done_callback(self._ended)
            self._task = None

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._wire.cut()
