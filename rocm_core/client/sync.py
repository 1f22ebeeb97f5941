"""The blocking transport: send a call, read its answer or its stream. Thread-safe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx

from rocm_core.client import calls
from rocm_core.client.base import LIMITS, ClientSettings, Deadline, body_begins
from rocm_core.client.calls import Call, Messages, StreamCall
from rocm_core.client.failures import error_from_response
from rocm_core.client.plain_http.sync import PlainTransport
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.errors import ClientError
from rocm_core.types import ServerProps, StreamEvent

T = TypeVar("T")
_DEFAULTS = GenerateConfig(max_tokens=None, temperature=None)


class Client(ClientSettings):
    """Every llama-server endpoint, blocking.

    One instance serves any number of threads. Nothing is opened before the first request.
    """

    def __init__(
        self, *args: Any, transport: httpx.BaseTransport | None = None, **settings: Any
    ) -> None:
        """``transport``: an ``httpx`` transport to use instead of our own."""
        super().__init__(*args, **settings)
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
        """Break off open streams and let go of every socket."""
        self.abort_streams()
        self._http.close()

    def call(self, call: Call[T], timeouts: Timeouts | None = None) -> T:
        """Send one request and read its whole answer.

        Raises:
            ClientError: any class below it in the tree of ``rocm_core.errors``.
        """
        deadline = Deadline(timeouts or self.timeouts)
        http = self._http
        with self._diagnosed(), self._wire() as wire, self._sending(http, deadline):
            request = self._request(http, call.method, call.path, call.body, deadline)
            request.extensions |= wire.extensions(wire.trace)
            response = http.send(request)
        return self._read(call, response)

    def stream(
        self, call: StreamCall, timeouts: Timeouts | None = None
    ) -> Generator[StreamEvent, None, None]:
        """Send one request and yield its events.

        The request is sent at the first ``next()``. Closing the iterator closes the
        connection, and llama-server frees the slot.

        Raises:
            ClientError: any class below it; ``StreamInterrupted`` if the end marker is missing.
        """
        decoder = StreamDecoder(coalesce=call.coalesce)
        deadline = Deadline(timeouts or self.timeouts)
        with self._diagnosed(), self._open(call, deadline) as response:
            assert isinstance(response.stream, httpx.SyncByteStream)
            # The stream itself: response.iter_raw() costs as much per chunk as our transport.
            for chunk in response.stream:
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
                response = http.send(request, stream=True)
            try:
                with self._reading(deadline):
                    body_begins(response, deadline)
                    if response.status_code >= 400:
                        response.read()
                        raise error_from_response(response)
                    yield response
            finally:
                # A stream that is still open when the program ends is closed by the kernel:
                # httpx measures the elapsed time here, and datetime is gone by then (CPython
                # 3.13.0 crashes).
                if not sys.is_finalizing():
                    response.close()

    @contextlib.contextmanager
    def _diagnosed(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            better = self._diagnose(error) if self._diagnose else error
            if better is error:
                raise
            raise better from error

    # -- endpoints (see rocm_core.client.calls) ---------------------------------------------

    def health(self) -> str:
        """``GET /health``."""
        return self.call(calls.health())

    def props(self) -> ServerProps:
        """``GET /props``."""
        return self.call(calls.props())

    def slots(self) -> list[dict[str, Any]]:
        """``GET /slots``."""
        return self.call(calls.slots())

    def metrics(self) -> dict[str, float]:
        """``GET /metrics``."""
        return self.call(calls.metrics())

    def models(self) -> list[dict[str, Any]]:
        """``GET /v1/models``."""
        return self.call(calls.models())

    def lora_adapters(self) -> list[dict[str, Any]]:
        """``GET /lora-adapters``."""
        return self.call(calls.lora_adapters())

    def tokenize(self, text: str, **options: bool) -> list[int]:
        """``POST /tokenize``."""
        return self.call(calls.tokenize(text, **options))

    def tokenize_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """``POST /tokenize``, several texts at once."""
        return self.call(calls.tokenize_batch(texts))

    def detokenize(self, ids: Sequence[int]) -> str:
        """``POST /detokenize``."""
        return self.call(calls.detokenize(ids))

    def apply_template(self, messages: Messages, **fields: Any) -> str:
        """``POST /apply-template``."""
        return self.call(calls.apply_template(messages, **fields))

    def count_tokens(self, messages: Messages, **fields: Any) -> int:
        """``POST /v1/chat/completions/input_tokens``."""
        return self.call(calls.count_tokens(messages, **fields))

    def embeddings(
        self, inputs: Sequence[str], *, normalize: bool | None = None
    ) -> list[list[float]]:
        """``POST /v1/embeddings``."""
        return self.call(calls.embeddings(inputs, normalize=normalize))

    def rerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """``POST /v1/rerank``."""
        return self.call(calls.rerank(query, documents, top_n))

    def completion(
        self, prompt: str | Sequence[int], config: GenerateConfig = _DEFAULTS
    ) -> Generator[StreamEvent, None, None]:
        """``POST /completion``."""
        return self.stream(calls.completion(prompt, config))

    def text_completion(
        self, prompt: str, config: GenerateConfig = _DEFAULTS, model: str | None = None
    ) -> Generator[StreamEvent, None, None]:
        """``POST /v1/completions``."""
        return self.stream(calls.text_completion(prompt, config, model))

    def chat(
        self,
        messages: Messages,
        config: GenerateConfig = _DEFAULTS,
        model: str | None = None,
        **fields: Any,
    ) -> Generator[StreamEvent, None, None]:
        """``POST /v1/chat/completions``."""
        return self.stream(calls.chat(messages, config, model, **fields))
