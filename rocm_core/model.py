"""Floor 5: a model to talk to, wherever it runs.

    load_model(ref) → TextModel ── generate / chat ──▶ iterators of Token
                               ├── completion_events / chat_events ──▶ iterators of StreamEvent
                               └── embed, rerank, tokenize, info, metrics, err, close

Loading is lazy: the server starts at first use, or with ``load()``. Every call may come from
any thread, or, in its ``a…`` form, from any event loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from dataclasses import fields
from types import TracebackType
from typing import Any

from rocm_core.backend import Connection, OnProgress, choose_backend
from rocm_core.client import Messages, StreamCall, calls
from rocm_core.config import GenerateConfig, LoadConfig, Timeouts, override, unknown_option
from rocm_core.errors import ConfigError, ServerStopped
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.refs import resolve_ref
from rocm_core.tokens import TokenReader, stopped_by_id
from rocm_core.types import ModelInfo, ServerProps, StreamEvent, Token

__all__ = ["TextModel", "load_model"]


def load_model(
    ref: str | os.PathLike[str],
    config: LoadConfig | None = None,
    *,
    api_key: str | None = None,
    timeouts: Timeouts | None = None,
    generate: GenerateConfig | None = None,
    **options: Any,
) -> TextModel:
    """A model by reference; nothing is started or opened yet.

    Args:
        ref: GGUF file, directory, ``org/repo[:quant]``, a name in ``ROCM_MODEL_DIR``,
            ``"demo"``, or the URL of a running server.
        config: how to load it.
        api_key: key of a remote server; our own servers make theirs.
        timeouts: limits per phase; the default depends on the kind of server.
        generate: defaults for ``generate`` and ``chat`` (256 tokens, greedy).
        options: fields of ``LoadConfig`` by name, over ``config``.

    Raises:
        ConfigError: an option is unknown or does not fit.
        ModelNotFound: nothing by that reference.
        BackendUnavailable: nothing on this machine can run it.
    """
    known = [f.name for f in fields(LoadConfig)]
    for name in options:
        if name not in known:
            raise unknown_option(name, [*known, "api_key", "timeouts", "generate"], "load_model")
    config = override(config or LoadConfig(), options)
    resolved = resolve_ref(ref)
    backend = choose_backend(config.backend, resolved)
    connection = backend.load_model(resolved, config, api_key)
    return TextModel(connection, timeouts, generate)


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
        self._timeouts = timeouts or connection.default_timeouts
        self._defaults = generate or GenerateConfig()
        self._error: BaseException | None = None
        self._header: GGUFInfo | None = None
        self._visible_ids: dict[int, bool] = {}

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

    def close(self) -> None:
        """Let go of the server; one that nobody else holds stops. Idempotent."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.release()

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

    def err(self) -> BaseException | None:
        """The last error of any call on this model (each call also raises its own)."""
        return self._error

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
        return self._tokens(calls.completion(prompt, config), config)

    def agenerate(
        self, prompt: str | Sequence[int], config: GenerateConfig | None = None, **options: Any
    ) -> AsyncIterator[Token]:
        """``generate`` for asyncio."""
        config = override(config or self._defaults, options)
        return self._atokens(calls.completion(prompt, config), config)

    def chat(
        self, messages: Messages, config: GenerateConfig | None = None, **options: Any
    ) -> Iterator[Token]:
        """Answer a conversation through the model's chat template; errors as ``generate``.

        Yields the answer's text only; ``chat_events`` also has reasoning and tool calls.
        The chat dialect carries no token ids, so ``Token.id`` is ``None``, unless
        ``stop_token_ids`` is given.
        """
        config = override(config or self._defaults, options)
        return self._tokens(self._chat_call(messages, config), config)

    def achat(
        self, messages: Messages, config: GenerateConfig | None = None, **options: Any
    ) -> AsyncIterator[Token]:
        """``chat`` for asyncio."""
        config = override(config or self._defaults, options)
        return self._atokens(self._chat_call(messages, config), config)

    def _tokens(self, call: StreamCall, config: GenerateConfig) -> Iterator[Token]:
        reader = TokenReader()
        for event in self._events(call, config):
            yield from reader.read(event)

    async def _atokens(self, call: StreamCall, config: GenerateConfig) -> AsyncIterator[Token]:
        reader = TokenReader()
        async with contextlib.aclosing(self._aevents(call, config)) as events:
            async for event in events:
                for token in reader.read(event):
                    yield token

    # -- generation: events -----------------------------------------------------------------

    def completion_events(
        self, prompt: str | Sequence[int], config: GenerateConfig
    ) -> Generator[StreamEvent, None, None]:
        """``POST /completion``, every event of its stream."""
        return self._events(calls.completion(prompt, config), config)

    def acompletion_events(
        self, prompt: str | Sequence[int], config: GenerateConfig
    ) -> AsyncGenerator[StreamEvent, None]:
        """``completion_events`` for asyncio."""
        return self._aevents(calls.completion(prompt, config), config)

    def chat_events(
        self, messages: Messages, config: GenerateConfig, **fields: Any
    ) -> Generator[StreamEvent, None, None]:
        """``POST /v1/chat/completions``, every event; ``fields`` (tools, …) go as they are."""
        return self._events(self._chat_call(messages, config, **fields), config)

    def achat_events(
        self, messages: Messages, config: GenerateConfig, **fields: Any
    ) -> AsyncGenerator[StreamEvent, None]:
        """``chat_events`` for asyncio."""
        return self._aevents(self._chat_call(messages, config, **fields), config)

    def _chat_call(self, messages: Messages, config: GenerateConfig, **fields: Any) -> StreamCall:
        model = fields.pop("model", None) or self.connection.model_name
        return calls.chat(messages, config, model, **fields)

    def _events(
        self, call: StreamCall, config: GenerateConfig
    ) -> Generator[StreamEvent, None, None]:
        with self._remembered():
            connection = self.connection
            connection.ready()
            self._refuse_hidden(config, self._hidden_ids(config))
            stop_ids = frozenset(config.stop_token_ids)
            with contextlib.closing(connection.client.stream(call, self._timeouts)) as events:
                for event in events:
                    if stop_ids and not stop_ids.isdisjoint(event.token_ids):
                        yield stopped_by_id(event)
                        return
                    yield event

    async def _aevents(
        self, call: StreamCall, config: GenerateConfig
    ) -> AsyncGenerator[StreamEvent, None]:
        with self._remembered():
            connection = self.connection
            await connection.aready()
            self._refuse_hidden(config, await self._ahidden_ids(config))
            stop_ids = frozenset(config.stop_token_ids)
            stream = connection.aclient.stream(call, self._timeouts)
            async with contextlib.aclosing(stream) as events:
                async for event in events:
                    if stop_ids and not stop_ids.isdisjoint(event.token_ids):
                        yield stopped_by_id(event)
                        return
                    yield event

    @contextlib.contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._error = error
            raise

    # -- stop ids ---------------------------------------------------------------------------

    def _hidden_ids(self, config: GenerateConfig) -> list[int]:
        for id_ in self._unchecked(config):
            self._check(id_, self.connection.client.detokenize([id_]))
        return [i for i in config.stop_token_ids if not self._visible_ids[i]]

    async def _ahidden_ids(self, config: GenerateConfig) -> list[int]:
        for id_ in self._unchecked(config):
            self._check(id_, await self.connection.aclient.detokenize([id_]))
        return [i for i in config.stop_token_ids if not self._visible_ids[i]]

    def _unchecked(self, config: GenerateConfig) -> list[int]:
        return [i for i in config.stop_token_ids if i not in self._visible_ids]

    def _check(self, id_: int, piece: str) -> None:
        self._visible_ids[id_] = "\ufffd" not in piece

    @staticmethod
    def _refuse_hidden(config: GenerateConfig, hidden: list[int]) -> None:
        if hidden:
            raise ConfigError(
                f"stop_token_ids {hidden} are parts of multi-byte characters: llama-server's "
                "streams do not show them, so nothing could stop there. Use stop strings."
            )

    # -- other abilities --------------------------------------------------------------------

    def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """Token ids of ``text``; ``POST /tokenize``."""
        with self._remembered():
            self.connection.ready()
            return self.connection.client.tokenize(text, add_special=add_special)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids; ``POST /detokenize``."""
        with self._remembered():
            self.connection.ready()
            return self.connection.client.detokenize(ids)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text; the model must be loaded with ``embeddings=True``."""
        with self._remembered():
            self.connection.ready()
            return self.connection.client.embeddings(texts)

    async def aembed(self, texts: Sequence[str]) -> list[list[float]]:
        """``embed`` for asyncio."""
        with self._remembered():
            await self.connection.aready()
            return await self.connection.aclient.embeddings(texts)

    def rerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """``(index, score)`` pairs, best first; the model must be loaded with ``rerank=True``."""
        with self._remembered():
            self.connection.ready()
            return self.connection.client.rerank(query, documents, top_n)

    async def arerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """``rerank`` for asyncio."""
        with self._remembered():
            await self.connection.aready()
            return await self.connection.aclient.rerank(query, documents, top_n)
