"""A model to talk to, wherever it runs.

    load_model(ref) → TextModel ── events(request) ──▶ iterator of StreamEvent: the way down
                               ├── generate / chat, …_events: the same, by name
                               ├── count_tokens, embed, rerank
                               ├── tokenize, detokenize   (``tokenizing``)
                               ├── decide   (``decide``)
                               └── load, info, metrics, err, close   (``served_model``)

Loading is lazy: the server starts at first use, or with ``load()``. Every call may come from
any thread, or, in its ``a…`` form, from any event loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from typing import Any

from rocm_core.backend import Connection, choose_backend
from rocm_core.client import (
    Chat,
    Completion,
    Deadline,
    GenerationRequest,
    Infill,
    Messages,
    RequestFor,
    as_message,
)
from rocm_core.config import GenerateConfig, LoadConfig, Timeouts, override
from rocm_core.discover.refs import resolve_ref
from rocm_core.model.decide import DecidingModel
from rocm_core.model.generation import Generation
from rocm_core.model.recipe import Recipe
from rocm_core.model.template import MessagesFor
from rocm_core.model.tokenizing.token_ids import TokenReader
from rocm_core.model.tokenizing.tokenized_model import TokenizedModel
from rocm_core.settings import current_settings, plan
from rocm_core.types import StreamEvent, Token

__all__ = ["TextModel", "load_model"]


def load_model(
    ref: str | os.PathLike[str] | None = None,
    config: LoadConfig | None = None,
    *,
    timeouts: Timeouts | None = None,
    generate: GenerateConfig | None = None,
    **options: Any,
) -> TextModel:
    """Return a model by reference; nothing is started or opened yet. It can be pickled.

    Args:
        ref: GGUF file, directory, ``org/repo[:quant]``, a name in ``ROCM_MODEL_DIR``,
            ``"demo"``, or the URL of a running server; ``None``: that of the settings.
        config: how to load it, complete; without it the settings give what the options do not.
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
    backend = choose_backend(resolved, chosen.config)
    connection = backend.load_model(resolved, chosen.config, chosen.remote)
    limits = timeouts or chosen.timeouts(connection.default_timeouts)
    model = TextModel(connection, limits, chosen.generate)
    model.recipe = Recipe.of(chosen, resolved, limits)
    return model


class TextModel(TokenizedModel, DecidingModel):
    """A model that generates text. Use it as a context manager, or ``close()`` it."""

    def __init__(
        self,
        connection: Connection,
        timeouts: Timeouts | None = None,
        generate: GenerateConfig | None = None,
    ) -> None:
        super().__init__(connection, timeouts)
        self._defaults = generate or GenerateConfig()
        self._generation = Generation(
            lambda: self.connection,
            self.template,
            self._timeouts,
            self._last_error,
        )

    # -- generation -------------------------------------------------------------------------

    def events(
        self,
        request: GenerationRequest | RequestFor,
        *,
        max_retries: int = 0,
        deadline: Deadline | None = None,
    ) -> Generator[StreamEvent, None, None]:
        """Generate, and yield every event of the stream.

        Nothing happens before the first ``next()``: then the server is made ready, once, the
        request waits for a place in the queue, and is sent. Closing the iterator frees the
        server's slot.

        Args:
            request: a ``Chat``, ``Completion`` or ``Infill``; or a function that makes one of the
                server's facts (``ServerProps``) as soon as it is ready.
            max_retries: how often the request is sent again when no slot had taken it yet: the
                server was busy, loading or not to be reached (``ServerBusy``, ``ServerLoading``,
                ``ServerUnreachable``), after 0.5, 1, 2, … at most 8 seconds. An answer that has
                begun is never repeated. A server of our own that dies before the first event is
                replaced, and the request sent once more, whatever ``max_retries``. Nothing is
                sent again that the time limit would not let begin.
            deadline: of the call that this is a part of; ``None``: the model's limits, from the
                first ``next()`` on. A ``timeout`` of the request goes over either.

        Raises:
            RocmError: from the iterator, any class below it; ``ConfigError`` for what this server
                or this model cannot do, ``RequestTimeout`` if a limit passes.
        """
        return self._generation.events(request, max_retries, deadline)

    def aevents(
        self,
        request: GenerationRequest | RequestFor,
        *,
        max_retries: int = 0,
        deadline: Deadline | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """``events`` for asyncio; cancelling the task that reads frees the slot."""
        return self._generation.aevents(request, max_retries, deadline)

    def completion_events(
        self, prompt: str | Sequence[int], config: GenerateConfig
    ) -> Generator[StreamEvent, None, None]:
        """``events`` of a ``Completion``: the prompt (text or token ids) as it is."""
        return self.events(Completion(prompt, config))

    def acompletion_events(
        self, prompt: str | Sequence[int], config: GenerateConfig
    ) -> AsyncGenerator[StreamEvent, None]:
        """``completion_events`` for asyncio."""
        return self.aevents(Completion(prompt, config))

    def infill_events(
        self, prefix: str, suffix: str, config: GenerateConfig
    ) -> Generator[StreamEvent, None, None]:
        """``events`` of an ``Infill``: what belongs between two texts."""
        return self.events(Infill(prefix, suffix, config))

    def ainfill_events(
        self, prefix: str, suffix: str, config: GenerateConfig
    ) -> AsyncGenerator[StreamEvent, None]:
        """``infill_events`` for asyncio."""
        return self.aevents(Infill(prefix, suffix, config))

    def chat_events(
        self, messages: Messages, config: GenerateConfig, **fields: Any
    ) -> Generator[StreamEvent, None, None]:
        """``events`` of a ``Chat``; ``fields`` (``tools``, …) are sent as they are."""
        return self.events(_chat(messages, config, fields))

    def achat_events(
        self, messages: Messages, config: GenerateConfig, **fields: Any
    ) -> AsyncGenerator[StreamEvent, None]:
        """``chat_events`` for asyncio."""
        return self.aevents(_chat(messages, config, fields))

    # -- generation: tokens -----------------------------------------------------------------

    def generate(
        self, prompt: str | Sequence[int], config: GenerateConfig | None = None, **options: Any
    ) -> Iterator[Token]:
        """Continue ``prompt`` as it is (no chat template), and yield the tokens.

        ``POST /completion``; of a server without it ``POST /v1/completions``, whose stream has no
        token ids.

        Args:
            prompt: text, or token ids.
            config: how to generate; default is 256 tokens, greedy.
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
        return self._tokens(_chat(messages, config, {}))

    def achat(
        self, messages: Messages, config: GenerateConfig | None = None, **options: Any
    ) -> AsyncIterator[Token]:
        """``chat`` for asyncio."""
        config = override(config or self._defaults, options)
        return self._atokens(_chat(messages, config, {}))

    def _tokens(self, request: GenerationRequest) -> Iterator[Token]:
        reader = TokenReader(request.config)
        for event in self.events(request):
            yield from reader.read(event)

    async def _atokens(self, request: GenerationRequest) -> AsyncIterator[Token]:
        reader = TokenReader(request.config)
        async with contextlib.aclosing(self.aevents(request)) as events:
            async for event in events:
                for token in reader.read(event):
                    yield token

    # -- tokens -----------------------------------------------------------------------------

    def count_tokens(
        self,
        messages: Messages | MessagesFor,
        *,
        fit_template: bool = False,
        deadline: Deadline | None = None,
        **fields: Any,
    ) -> int:
        """Return the length in tokens of the prompt that a conversation makes, exactly.

        The server's own template and tokenizer count (``POST
        /v1/chat/completions/input_tokens``; a server without it applies the template and
        tokenizes its text). The last 512 counts are remembered.

        Args:
            messages: the conversation; or a function that makes it of the server's facts
                (``ServerProps``).
            fit_template: count the conversation as ``Chat(fit_template=True)`` sends it.
            deadline: of the call that this is a part of; ``None``: the model's limits.
            fields: request fields that the template sees: ``tools``, ``chat_template_kwargs``, …

        Raises:
            RocmError: the server cannot be started or reached, or refuses the conversation, or a
                limit passes.
        """
        with self._last_error:
            return self.template.count(messages, deadline, fit_template=fit_template, **fields)

    async def acount_tokens(
        self,
        messages: Messages | MessagesFor,
        *,
        fit_template: bool = False,
        deadline: Deadline | None = None,
        **fields: Any,
    ) -> int:
        """``count_tokens`` for asyncio."""
        with self._last_error:
            count = self.template.acount
            return await count(messages, deadline, fit_template=fit_template, **fields)


def _chat(messages: Messages, config: GenerateConfig, fields: dict[str, Any]) -> Chat:
    return Chat([as_message(message) for message in messages], config, fields)
