"""``RocmLLM``: a LlamaIndex ``LLM`` on llama-server.

    chat(messages)                  → messages.py ─▶ /v1/chat/completions, the model's template
    complete(prompt)                → one user message, the same way
    complete(prompt, formatted=True)→ /completion, the prompt as it is
                                          │ events
                                          ▼
                        responses.py (pure) inside the loops of streams.py

All eight methods are native: none falls back on another, and the async ones never block the
event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from llama_index.core.base.llms.generic_utils import messages_to_prompt as generic_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.llm import default_completion_to_prompt
from pydantic import PrivateAttr

from llama_index_rocm.messages import to_request
from llama_index_rocm.responses import ChatAnswer, CompletionAnswer
from llama_index_rocm.streams import (
    AsyncEvents,
    Events,
    agather,
    aobserved,
    aresponses,
    gather,
    observed,
    responses,
)
from rocm_core import GenerateConfig, TextModel, read_gguf, resolve_ref
from rocm_core.adapter import GenerationOptions


@dataclass(frozen=True, slots=True)
class _Request:
    """One request: messages for the model's own chat template, or a prompt to send as it is."""

    input: str | list[dict[str, Any]]
    config: GenerateConfig
    fields: Mapping[str, Any]

    def events(self, model: TextModel) -> Events:
        if isinstance(self.input, str):
            return model.completion_events(self.input, self._all_in_config())
        return model.chat_events(self.input, self.config, **self.fields)

    def aevents(self, model: TextModel) -> AsyncEvents:
        if isinstance(self.input, str):
            return model.acompletion_events(self.input, self._all_in_config())
        return model.achat_events(self.input, self.config, **self.fields)

    def _all_in_config(self) -> GenerateConfig:
        return replace(self.config, extra={**self.config.extra, **self.fields})


class RocmLLM(GenerationOptions, CustomLLM):
    """A GGUF model on llama.cpp, or a running llama-server, as a LlamaIndex LLM.

        llm = RocmLLM(model="path/to/model.gguf", context_len=8192, temperature=0.7)
        llm.complete("Why is the sky blue?")

    The server starts at first use; ``close()`` lets go of it. Instances with the same model and
    load options share one. An instance may be used from any thread and any event loop.

    Options are those of ``LoadConfig`` and ``GenerateConfig`` by name; an unset one is not sent,
    so the model's own default applies. Keyword arguments of a call go over those of the
    instance, and any other field of llama-server's API may be given too
    (``chat_template_kwargs={"enable_thinking": False}``, ``response_format``, ``logprobs``, …).

    ``chat`` and ``complete`` use the model's own chat template. A ``messages_to_prompt`` or
    ``completion_to_prompt`` of yours replaces it: what it returns is sent as it is, and so is
    the prompt of ``complete(prompt, formatted=True)``.

    Errors are those of ``rocm_core.errors``; streams raise the server's from the iterator.

    ``api_key`` is left out of ``to_dict()``: give it to ``from_dict(data, api_key=…)`` again.
    """

    # Context length that the GGUF header tells: None unread, 0 unknown.
    _trained: int | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """The name in serialized form."""
        return "rocm_llm"

    def __getstate__(self) -> dict[Any, Any]:
        # LlamaIndex's own removes what cannot be pickled from the object itself: lend it a copy.
        return super(RocmLLM, copy(self)).__getstate__()

    # -- facts ------------------------------------------------------------------------------

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex sizes prompts and memories by; it never asks the server.

        ``context_window`` (tokens) is that of one slot of the server once it has been used.
        Before, it is what the GGUF header (read once) and ``context_len`` allow, and for a
        server elsewhere or a download ``context_len``, or else LlamaIndex's default of 3900;
        ``text_model.load()`` makes it exact. ``num_output`` is ``max_tokens``, or else 256.
        """
        return self._metadata(self._served_context() or self._expected_context())

    def to_payload(self) -> dict[str, Any]:
        """What events and traces may show: no secrets. No I/O."""
        window = self._served_context() or self.context_len or DEFAULT_CONTEXT_WINDOW
        return {
            "class_name": self.class_name(),
            "model": self.loaded_name(),
            "temperature": self.temperature,
            **self._metadata(window).model_dump(),
        }

    def _metadata(self, context_window: int) -> LLMMetadata:
        limit = self.max_tokens
        return LLMMetadata(
            context_window=context_window,
            num_output=DEFAULT_NUM_OUTPUTS if limit is None or limit < 0 else limit,
            is_chat_model=True,
            model_name=self.loaded_name(),
        )

    def _served_context(self) -> int:
        props = self._text_model.props if self._text_model else None
        return props.n_ctx if props else 0

    def _expected_context(self) -> int:
        if self._trained is None:
            ref = resolve_ref(self.base_url or self.model)
            header = read_gguf(ref.value) if ref.kind == "file" else None
            self._trained = (header.context_length if header else None) or 0
        # The server never opens more context than the model was trained for.
        known = [length for length in (self.context_len, self._trained) if length]
        return min(known, default=DEFAULT_CONTEXT_WINDOW)

    # -- chat -------------------------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The answer to a conversation.

        Args:
            messages: the conversation; never changed.
            kwargs: options of this call.

        Raises:
            ConfigError: an option is out of range, or a block is of a kind the server lacks.
            RocmError: any class below it.
        """
        return gather(self._chat_request(messages, kwargs).events(self.text_model), ChatAnswer())

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """``chat``, piece by piece; closing the iterator frees the server's slot."""
        events = self._chat_request(messages, kwargs).events(self.text_model)
        source = responses(events, ChatAnswer())
        return observed(llm_chat_callback, self, messages, kwargs, source)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """``chat`` for asyncio; cancelling it frees the server's slot."""
        request = self._chat_request(messages, kwargs)
        return await agather(request.aevents(await self._amodel()), ChatAnswer())

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """``stream_chat`` for asyncio."""
        request = self._chat_request(messages, kwargs)
        source = aresponses(request.aevents(await self._amodel()), ChatAnswer())
        return await aobserved(llm_chat_callback, self, messages, kwargs, source)

    # -- completion -------------------------------------------------------------------------

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The answer to a prompt; errors as ``chat``.

        Args:
            prompt: sent as one user message through the model's chat template.
            formatted: the prompt has its template already; send it as it is.
            kwargs: options of this call.
        """
        request = self._prompt_request(prompt, formatted, kwargs)
        return gather(request.events(self.text_model), CompletionAnswer())

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """``complete``, piece by piece; closing the iterator frees the server's slot."""
        events = self._prompt_request(prompt, formatted, kwargs).events(self.text_model)
        source = responses(events, CompletionAnswer())
        return observed(llm_completion_callback, self, prompt, kwargs, source)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """``complete`` for asyncio; cancelling it frees the server's slot."""
        request = self._prompt_request(prompt, formatted, kwargs)
        return await agather(request.aevents(await self._amodel()), CompletionAnswer())

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """``stream_complete`` for asyncio."""
        request = self._prompt_request(prompt, formatted, kwargs)
        source = aresponses(request.aevents(await self._amodel()), CompletionAnswer())
        return await aobserved(llm_completion_callback, self, prompt, kwargs, source)

    # -- requests ---------------------------------------------------------------------------

    def _chat_request(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> _Request:
        config, fields = self.generate_config(options)
        to_prompt = self.messages_to_prompt
        if to_prompt is not None and to_prompt is not generic_prompt:
            return _Request(to_prompt(messages), config, fields)
        return _Request(to_request(messages), config, fields)

    def _prompt_request(self, prompt: str, formatted: bool, options: Mapping[str, Any]) -> _Request:
        config, fields = self.generate_config(options)
        to_prompt = self.completion_to_prompt
        if formatted:
            return _Request(prompt, config, fields)
        if to_prompt is not None and to_prompt is not default_completion_to_prompt:
            return _Request(to_prompt(prompt), config, fields)
        return _Request([{"role": "user", "content": prompt}], config, fields)

    async def _amodel(self) -> TextModel:
        # Looking for the model's file, a backend and an engine reads the disk.
        if self._text_model is None:
            await asyncio.to_thread(lambda: self.text_model)
        return self.text_model
