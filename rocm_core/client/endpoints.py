"""llama-server's endpoints as methods, the same for both clients; the requests are in ``calls``.

What each takes and returns, and its defaults, is llama.cpp's ``tools/server/README.md``.
``AsyncEndpoints`` has the same methods for asyncio.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rocm_core.client import calls
from rocm_core.client.calls import Call, Messages, StreamCall
from rocm_core.client.deadline import Deadline
from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.requests import EmbeddingInput
from rocm_core.types import ServerProps, StreamEvent

if TYPE_CHECKING:
    from rocm_core.decisions import Decision, Question

T = TypeVar("T")
_DEFAULTS = GenerateConfig(max_tokens=None, temperature=None)


class Endpoints(abc.ABC):
    """Every endpoint that a client of a model needs, blocking.

    Each method sends one request and raises ``ClientError`` or a class below it:
    ``ServerUnreachable`` if nothing answers, ``RequestTimeout`` if a limit passes,
    ``AuthenticationError`` for a wrong key, ``ServerLoading`` while the model is being loaded,
    ``EndpointNotFound`` or ``NotSupported`` where the server has no such endpoint or was started
    without it, ``InvalidRequest`` for a field that it refuses.
    """

    @abc.abstractmethod
    def call(self, call: Call[T], timeouts: Timeouts | Deadline | None = None) -> T:
        """Send one request and return its answer."""

    @abc.abstractmethod
    def stream(
        self, call: StreamCall, timeouts: Timeouts | Deadline | None = None
    ) -> Generator[StreamEvent, None, None]:
        """Send one request and yield the events of its answer."""

    # -- the server -------------------------------------------------------------------------

    def health(self) -> str:
        """Return ``"ok"`` once the model is loaded (``GET /health``).

        Raises:
            ServerLoading: it is not loaded yet.
        """
        return self.call(calls.health())

    def props(self) -> ServerProps:
        """Return the server's facts (``GET /props``).

        Context length of a slot in tokens, number of slots, chat template and what it can do,
        modalities, build.
        """
        return self.call(calls.props())

    def slots(self) -> list[dict[str, Any]]:
        """Return the state of each slot, in the order of their ids (``GET /slots``).

        ``is_processing`` says whether it works on a request, ``n_ctx`` is its context length in
        tokens.

        Raises:
            NotSupported: the server was started with ``--no-slots``.
        """
        return self.call(calls.slots())

    def metrics(self) -> dict[str, float]:
        """Return counters and gauges by name, without the prefix ``llamacpp:`` (``GET /metrics``).

        Names that end in ``_total`` count since the server's start, in ``_seconds_total`` in
        seconds; ``prompt_tokens_seconds`` and ``predicted_tokens_seconds`` are means in tokens per
        second; ``requests_processing`` and ``requests_deferred`` are requests now.

        Raises:
            NotSupported: the server was started without ``--metrics``.
        """
        return self.call(calls.metrics())

    def models(self) -> list[dict[str, Any]]:
        """Return the models that the server lists (``GET /v1/models``).

        ``id`` is the name for the field ``model`` of a request. A router lists several, another
        llama-server exactly one.
        """
        return self.call(calls.models())

    def lora_adapters(self) -> list[dict[str, Any]]:
        """Return the LoRA adapters: ``id``, ``path`` and ``scale`` (``GET /lora-adapters``).

        A scale of 0 is off.
        """
        return self.call(calls.lora_adapters())

    def set_lora_adapters(self, scales: Mapping[int, float]) -> None:
        """Set the scales of the LoRA adapters, from now on (``POST /lora-adapters``).

        A request can have scales of its own: its field ``lora``, a list of ``{"id", "scale"}``.

        Args:
            scales: scale by adapter id; an adapter that is not named is switched off (0).

        Raises:
            InvalidRequest: there is no adapter with such an id.
        """
        self.call(calls.set_lora_adapters(scales))

    # -- tokens and prompts -----------------------------------------------------------------

    def tokenize(self, text: str, **options: bool) -> list[int]:
        """Return the token ids of a text (``POST /tokenize``).

        Args:
            text: any text; an empty one has no tokens.
            options: ``add_special`` (default ``False``): put the begin-of-text token (BOS) in
                front. ``parse_special`` (default ``True``): special tokens inside the text count
                as such, not as plain text.
        """
        return self.call(calls.tokenize(text, **options))

    def tokenize_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, in their order, with one ``POST /tokenize``.

        No special tokens are added; those inside a text count as such.
        """
        return self.call(calls.tokenize_batch(texts))

    def detokenize(self, ids: Sequence[int]) -> str:
        """Return the text of token ids (``POST /detokenize``).

        Bytes that are no whole character become U+FFFD.
        """
        return self.call(calls.detokenize(ids))

    def apply_template(self, messages: Messages, **fields: Any) -> str:
        """Return the prompt that the model's chat template makes (``POST /apply-template``).

        Args:
            messages: the conversation, as ``chat`` takes it.
            fields: further request fields that the template sees: ``tools``,
                ``chat_template_kwargs``, ``add_generation_prompt``, …

        Raises:
            HTTPStatusError: the template refuses the conversation.
        """
        return self.call(calls.apply_template(messages, **fields))

    def count_tokens(self, messages: Messages, **fields: Any) -> int:
        """Return the length of a conversation's prompt in tokens, its template included.

        ``POST /v1/chat/completions/input_tokens``; builds before it raise ``EndpointNotFound``.
        Arguments and errors as ``apply_template``.
        """
        return self.call(calls.count_tokens(messages, **fields))

    # -- vectors and ranks ------------------------------------------------------------------

    def embeddings(
        self, inputs: Sequence[EmbeddingInput], *, normalize: bool | None = None
    ) -> list[list[float]]:
        """Return one vector per input, in their order (``POST /v1/embeddings``).

        A vector has ``n_embd`` floats, the width of the model's embedding.

        Args:
            inputs: at least one text, or list of content parts (``text``, ``image_url``, …). Each
                is read at once: as long as the physical batch (``--ubatch-size`` tokens) at most.
            normalize: scale each vector to Euclidean length 1 (``True``), or not at all
                (``False``); ``None`` leaves it to the server, which scales.

        Raises:
            NotSupported: the server was started without ``--embeddings``.
            ContextOverflow: a text is too long.
        """
        return self.call(calls.embeddings(inputs, normalize=normalize))

    def rerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """Return ``(index in documents, relevance score)``, best first (``POST /v1/rerank``).

        The score is what the model says: a logit without bounds for most, a probability for some.

        Args:
            query: what the documents are compared with.
            documents: at least one text. Each, with the query, is read at once, as a text of
                ``embeddings``.
            top_n: how many pairs to return; ``None`` for all.

        Raises:
            NotSupported: the server was started without ``--rerank``.
            ContextOverflow: a document is too long.
        """
        return self.call(calls.rerank(query, documents, top_n))

    def decide(
        self, state: Any, questions: Mapping[str, Question], images: Sequence[str] = ()
    ) -> Decision:
        """Return a decision model's answers to typed questions (``POST /v1/systemone``).

        Args:
            state: what the questions are about: text, or a JSON object or array.
            questions: ``Choice``, ``Score``, ``YesNo`` or ``Box`` by ids of your own.
            images: data URLs (``data:image/png;base64,…``), which the model sees before the state.

        Raises:
            EndpointNotFound: the build has no such endpoint; b11434 has it.
            NotSupported: the model is no decision model, or takes no images.
        """
        return self.call(calls.decide(state, questions, images))

    # -- generation -------------------------------------------------------------------------

    def completion(
        self, prompt: str | Sequence[int], config: GenerateConfig = _DEFAULTS
    ) -> Generator[StreamEvent, None, None]:
        """Continue a prompt and yield the events (``POST /completion``, llama-server's own).

        Its stream carries token ids.

        Args:
            prompt: text, or token ids; no chat template is applied.
            config: how to generate; the default leaves everything to the server, which goes on
                until the model ends or the context is full.

        Raises:
            StreamInterrupted: the stream broke off before its end marker.
            ContextOverflow: the prompt is longer than the context of a slot.
        """
        return self.stream(calls.completion(prompt, config))

    def text_completion(
        self, prompt: str, config: GenerateConfig = _DEFAULTS, model: str | None = None
    ) -> Generator[StreamEvent, None, None]:
        """Continue a prompt and yield the events (``POST /v1/completions``, the OpenAI dialect).

        Arguments and errors as ``completion``; ``model`` is the id of one of ``models()``, for
        servers with several.
        """
        return self.stream(calls.text_completion(prompt, config, model))

    def chat(
        self,
        messages: Messages,
        config: GenerateConfig = _DEFAULTS,
        model: str | None = None,
        **fields: Any,
    ) -> Generator[StreamEvent, None, None]:
        """Answer a conversation and yield the events (``POST /v1/chat/completions``).

        Args:
            messages: ``Message`` objects, or mappings as the OpenAI API takes them.
            config: how to generate; default as ``completion``.
            model: the id of one of ``models()``, for servers with several.
            fields: further request fields (``tools``, ``response_format``, …); ``None`` is not
                sent.

        Raises:
            ConfigError: at once, if a message is neither a ``Message`` nor a mapping.
            StreamInterrupted: the stream broke off before its end marker.
            ContextOverflow: the prompt is longer than the context of a slot.
        """
        return self.stream(calls.chat(messages, config, model, **fields))


class AsyncEndpoints(abc.ABC):
    """``Endpoints`` for asyncio: same arguments, answers and errors."""

    @abc.abstractmethod
    async def call(self, call: Call[T], timeouts: Timeouts | Deadline | None = None) -> T:
        """Send one request and return its answer."""

    @abc.abstractmethod
    def stream(
        self, call: StreamCall, timeouts: Timeouts | Deadline | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Send one request and yield the events of its answer."""

    # -- the server -------------------------------------------------------------------------

    async def health(self) -> str:
        """Return ``"ok"`` once the model is loaded (``GET /health``)."""
        return await self.call(calls.health())

    async def props(self) -> ServerProps:
        """Return the server's facts (``GET /props``)."""
        return await self.call(calls.props())

    async def slots(self) -> list[dict[str, Any]]:
        """Return the state of each slot (``GET /slots``)."""
        return await self.call(calls.slots())

    async def metrics(self) -> dict[str, float]:
        """Return counters and gauges by name (``GET /metrics``)."""
        return await self.call(calls.metrics())

    async def models(self) -> list[dict[str, Any]]:
        """Return the models that the server lists (``GET /v1/models``)."""
        return await self.call(calls.models())

    async def lora_adapters(self) -> list[dict[str, Any]]:
        """Return the LoRA adapters and their scales (``GET /lora-adapters``)."""
        return await self.call(calls.lora_adapters())

    async def set_lora_adapters(self, scales: Mapping[int, float]) -> None:
        """Set the scale of each LoRA adapter (``POST /lora-adapters``)."""
        await self.call(calls.set_lora_adapters(scales))

    # -- tokens and prompts -----------------------------------------------------------------

    async def tokenize(self, text: str, **options: bool) -> list[int]:
        """Return the token ids of a text (``POST /tokenize``)."""
        return await self.call(calls.tokenize(text, **options))

    async def tokenize_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text (``POST /tokenize``)."""
        return await self.call(calls.tokenize_batch(texts))

    async def detokenize(self, ids: Sequence[int]) -> str:
        """Return the text of token ids (``POST /detokenize``)."""
        return await self.call(calls.detokenize(ids))

    async def apply_template(self, messages: Messages, **fields: Any) -> str:
        """Return the prompt that the chat template makes (``POST /apply-template``)."""
        return await self.call(calls.apply_template(messages, **fields))

    async def count_tokens(self, messages: Messages, **fields: Any) -> int:
        """Return the length of a conversation's prompt in tokens.

        ``POST /v1/chat/completions/input_tokens``.
        """
        return await self.call(calls.count_tokens(messages, **fields))

    # -- vectors and ranks ------------------------------------------------------------------

    async def embeddings(
        self, inputs: Sequence[EmbeddingInput], *, normalize: bool | None = None
    ) -> list[list[float]]:
        """Return one vector per input, in their order (``POST /v1/embeddings``)."""
        return await self.call(calls.embeddings(inputs, normalize=normalize))

    async def rerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None
    ) -> list[tuple[int, float]]:
        """Return ``(index, score)`` of the documents, best first (``POST /v1/rerank``)."""
        return await self.call(calls.rerank(query, documents, top_n))

    async def decide(
        self, state: Any, questions: Mapping[str, Question], images: Sequence[str] = ()
    ) -> Decision:
        """Return a decision model's answers to typed questions (``POST /v1/systemone``)."""
        return await self.call(calls.decide(state, questions, images))

    # -- generation -------------------------------------------------------------------------

    def completion(
        self, prompt: str | Sequence[int], config: GenerateConfig = _DEFAULTS
    ) -> AsyncGenerator[StreamEvent, None]:
        """Continue a prompt (``POST /completion``)."""
        return self.stream(calls.completion(prompt, config))

    def text_completion(
        self, prompt: str, config: GenerateConfig = _DEFAULTS, model: str | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Continue a prompt, in the OpenAI dialect (``POST /v1/completions``)."""
        return self.stream(calls.text_completion(prompt, config, model))

    def chat(
        self,
        messages: Messages,
        config: GenerateConfig = _DEFAULTS,
        model: str | None = None,
        **fields: Any,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer a conversation (``POST /v1/chat/completions``)."""
        return self.stream(calls.chat(messages, config, model, **fields))
