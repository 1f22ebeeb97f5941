"""Floor 5: a model to talk to, wherever it runs.

    load_model(ref) → TextModel ── generate / chat ──▶ iterators of Token
                               ├── completion_events / chat_events ──▶ iterators of StreamEvent
                               └── embed, rerank, tokenize, info, metrics, err, close

Loading is lazy: the server starts at first use, or with ``load()``. Every call may come from
any thread, or, in its ``a…`` form, from any event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any

from rocm_core.backend import Connection, OnProgress, choose_backend
from rocm_core.client import Chat, Completion, GenerationRequest, Infill, Messages, as_message
from rocm_core.config import GenerateConfig, LoadConfig, Timeouts, override
from rocm_core.discover.refs import resolve_ref
from rocm_core.errors import ServerStopped
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.model.chat_template import ChatTemplate
from rocm_core.model.generation import Generation, LastError
from rocm_core.model.token_ids import TokenReader
from rocm_core.settings import current_settings, plan
from rocm_core.types import Check, ModelInfo, ServerProps, StreamEvent, Token

__all__ = ["TextModel", "load_model"]


def load_model(
    ref: str | os.PathLike[str] | None = None,
    config: LoadConfig | None = None,
    *,
    timeouts: Timeouts | None = None,
    generate: GenerateConfig | None = None,
    **options: Any,
) -> TextModel:
    """A model by reference; nothing is started or opened yet.

    Args:
        ref: GGUF file, directory, ``org/repo[:quant]``, a name in ``ROCM_MODEL_DIR``,
            ``"demo"``, or the URL of a running server; ``None``: that of the settings.
        config: how to load it, complete. Without it, options that are not given come from the
            environment and the configuration files (``rocm_core.settings``).
        timeouts: limits per phase; the default depends on the kind of server.
        generate: defaults for ``generate`` and ``chat`` (256 tokens, greedy).
        options: fields of ``LoadConfig`` by name, over ``config``; for the URL of a running
            server also those of ``RemoteConfig``: ``api_key``, ``headers``, ``api``, …

    Raises:
        ConfigError: an option is unknown or does not fit.
        ModelNotFound: nothing by that reference.
        BackendUnavailable: nothing on this machine can run it.
    """
    chosen = plan(ref, config, generate, options, current_settings())
    resolved = resolve_ref(chosen.ref, chosen.settings.environment())
    backend = choose_backend(chosen.config.backend, resolved)
    connection = backend.load_model(resolved, chosen.config, chosen.remote)
    limits = timeouts or chosen.timeouts(connection.default_timeouts)
    return TextModel(connection, limits, chosen.generate)


class TextModel:
    """A model that generates text. Use it as a context manager, or ``close()`` it."""

    def __init__(
        self,
        connection: Connection,
        timeouts: Timeouts | None = None,
        generate: GenerateConfig | None = None,
    ) -> None:
        self._open: Connection | None = connection
        self._name = connection.ref.name
        self._defaults = generate or GenerateConfig()
        self._header: GGUFInfo | None = None
        self._last_error = LastError()
        limits = timeouts or connection.default_timeouts
        self._answers = Generation(lambda: self.connection, limits, self._last_error)
        self.template = ChatTemplate(lambda: self.connection)

    def __repr__(self) -> str:
        return f"TextModel({self._name!r})"

    def __enter__(self) -> TextModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> TextModel:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- life and facts ---------------------------------------------------------------------

    def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Start the server now instead of at first use, and return what is known of the model.

        Args:
            on_progress: called with the share of the load done (0..1) as it grows.
        """
        return self._info(self.connection.ready(on_progress))

    async def aload(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """``load`` without blocking the event loop."""
        return self._info(await self.connection.aready(on_progress))

    def close(self, drain: float = 0.0) -> None:
        """Let go of the server; one that nobody else holds stops. Idempotent.

        Args:
            drain: seconds to let the requests that are under way come to their end; no new one
                is taken meanwhile, and those in the queue are turned away. What then still runs
                is broken off.
        """
        connection, self._open = self._open, None
        if connection is not None:
            if drain > 0:
                connection.limiter.drain(drain)
            connection.release()

    async def aclose(self, drain: float = 0.0) -> None:
        """``close`` without blocking the event loop."""
        await asyncio.to_thread(self.close, drain)

    @property
    def connection(self) -> Connection:
        """The server behind this model.

        Raises:
            ServerStopped: the model was closed.
        """
        if self._open is None:
            raise ServerStopped(f"{self!r} is closed; call load_model() again")
        return self._open

    @property
    def props(self) -> ServerProps | None:
        """The server's facts, once it has been used; no I/O."""
        return self._open.props if self._open is not None else None

    @property
    def info(self) -> ModelInfo:
        """What is known of the model; starts the server if need be."""
        return self.load()

    @property
    def model_type(self) -> str | None:
        """The architecture (``llama``, ``qwen3``, …) from the GGUF header.

        ``None`` for a remote server or a download: llama-server's API does not tell it.
        """
        header = self._gguf()
        return header.architecture if header else None

    def preflight(self, dry_run: bool = False) -> list[Check]:
        """Whether everything is there that a request needs, as named findings; never raises for
        what it finds.

        Args:
            dry_run: also start the server, if it is our own, and generate one token.
        """
        from rocm_core.doctor.endpoint import preflight_connection

        return preflight_connection(self.connection, dry_run)

    def err(self) -> BaseException | None:
        """The last error of any call on this model (each call also raises its own)."""
        return self._last_error.error

    def metrics(self) -> dict[str, float]:
        """llama-server's own counters and gauges (``GET /metrics``)."""
        self.connection.ready()
        return self.connection.client.metrics()

    def _gguf(self) -> GGUFInfo | None:
        ref = self.connection.ref
        if self._header is None and ref.kind == "file":
            self._header = read_gguf(ref.value)
        return self._header

    def _info(self, props: ServerProps) -> ModelInfo:
        header = self._gguf()
        return ModelInfo(
            name=self.connection.model_name or self._name,
            architecture=header.architecture if header else None,
            n_ctx=props.n_ctx,
            n_ctx_train=header.context_length if header else None,
            total_slots=props.total_slots,
            chat_template_caps=props.chat_template_caps,
            modalities=props.modalities,
            build_info=props.build_info,
        )

    # -- generation: tokens -----------------------------------------------------------------

    def generate(
        self, prompt: str | Sequence[int], config: GenerateConfig | None = None, **options: Any
    ) -> Iterator[Token]:
        """Continue ``prompt`` as it is (no chat template); ``POST /completion``.

        Args:
            config: how; default is 256 tokens, greedy.
            options: fields of ``GenerateConfig`` by name, over ``config``.

        Raises:
            ConfigError: at once, for an unknown option.
            RocmError: from the iterator, any class below it.
        """
        config = override(config or self._defaults, options)
        return self._tokens(Completion(prompt, config))

    def agenerate(
        self, prompt: str | Sequence[int], config: GenerateConfig | None = None, **options: Any
    ) -> AsyncIterator[Token]:
        """``generate`` for asyncio."""
        config = override(config or self._defaults, options)
        return self._atokens(Completion(prompt, config))

    def chat(
        self, messages: Messages, config: GenerateConfig | None = None, **options: Any
    ) -> Iterator[Token]:
        """Answer a conversation through the model's chat template; errors as ``generate``.

        Yields the answer's text only; ``chat_events`` also has reasoning and tool calls.
        The chat dialect carries no token ids, so ``Token.id`` is ``None``, unless
        ``stop_token_ids`` is given.
        """
        config = override(config or self._defaults, options)
        return self._tokens(_chat(messages, config))

    def achat(
        self, messages: Messages, config: GenerateConfig | None = None, **options: Any
    ) -> AsyncIterator[Token]:
        """``chat`` for asyncio."""
        config = override(config or self._defaults, options)
        return self._atokens(_chat(messages, config))

    def _tokens(self, request: GenerationRequest) -> Iterator[Token]:
        reader = TokenReader()
        for event in self._answers.events(request):
            yield from reader.read(event)

    async def _atokens(self, request: GenerationRequest) -> AsyncIterator[Token]:
        reader = TokenReader()
        async with contextlib.aclosing(self._answers.aevents(request)) as events:
            async for event in events:
                for token in reader.read(event):
                    yield token

    # -- generation: events -----------------------------------------------------------------

    def completion_events(
        self, prompt: str | Sequence[int], config: GenerateConfig
    ) -> Generator[StreamEvent, None, None]:
        """``POST /completion``, every event of its stream."""
        return self._answers.events(Completion(prompt, config))

    def acompletion_events(
        self, prompt: str | Sequence[int], config: GenerateConfig
    ) -> AsyncGenerator[StreamEvent, None]:
        """``completion_events`` for asyncio."""
        return self._answers.aevents(Completion(prompt, config))

    def infill_events(
        self, prefix: str, suffix: str, config: GenerateConfig
    ) -> Generator[StreamEvent, None, None]:
        """``POST /infill``: the events of what belongs between two texts."""
        return self._answers.events(Infill(prefix, suffix, config))

    def ainfill_events(
        self, prefix: str, suffix: str, config: GenerateConfig
    ) -> AsyncGenerator[StreamEvent, None]:
        """``infill_events`` for asyncio."""
        return self._answers.aevents(Infill(prefix, suffix, config))

    def chat_events(
        self, messages: Messages, config: GenerateConfig, **fields: Any
    ) -> Generator[StreamEvent, None, None]:
        """``POST /v1/chat/completions``, every event; ``fields`` (tools, …) go as they are."""
        return self._answers.events(_chat(messages, config, **fields))

    def achat_events(
        self, messages: Messages, config: GenerateConfig, **fields: Any
    ) -> AsyncGenerator[StreamEvent, None]:
        """``chat_events`` for asyncio."""
        return self._answers.aevents(_chat(messages, config, **fields))

    # -- other abilities --------------------------------------------------------------------

    def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """Token ids of ``text``; ``POST /tokenize``."""
        with self._last_error:
            self.connection.ready()
            return self.connection.client.tokenize(text, add_special=add_special)

    def tokenize_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in one request."""
        with self._last_error:
            self.connection.ready()
            return self.connection.client.tokenize_batch(texts)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids; ``POST /detokenize``."""
        with self._last_error:
            self.connection.ready()
            return self.connection.client.detokenize(ids)

    def embed(self, texts: Sequence[str], *, normalize: bool | None = None) -> list[list[float]]:
        """One vector per text; the model must be loaded with ``embeddings=True``."""
        with self._last_error:
            connection = self.connection
            connection.ready()
            with connection.limiter.ticket():
                return connection.client.embeddings(texts, normalize=normalize)

    async def aembed(
        self, texts: Sequence[str], *, normalize: bool | None = None
    ) -> list[list[float]]:
        """``embed`` for asyncio."""
        with self._last_error:
            connection = self.connection
            await connection.aready()
            async with connection.limiter.ticket():
                return await connection.aclient.embeddings(texts, normalize=normalize)

    def rerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """``(index, score)`` pairs, best first; the model must be loaded with ``rerank=True``."""
        with self._last_error:
            connection = self.connection
            connection.ready()
            with connection.limiter.ticket():
                return connection.client.rerank(query, documents, top_n)

    async def arerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """``rerank`` for asyncio."""
        with self._last_error:
            connection = self.connection
            await connection.aready()
            async with connection.limiter.ticket():
                return await connection.aclient.rerank(query, documents, top_n)


def _chat(messages: Messages, config: GenerateConfig, **fields: Any) -> Chat:
    model = fields.pop("model", None)
    return Chat([as_message(message) for message in messages], config, fields, model)
