"""The least that a LlamaIndex LLM can cost: native streams, and nothing to do for a piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.custom import CustomLLM

from benchmarks.contenders.floor import asource, source


class FakeLLM(CustomLLM):
    """One ``ChatResponse`` for each piece, and LlamaIndex's own callbacks."""

    setting: Any

    @property
    def metadata(self) -> LLMMetadata:
        """Whatever the defaults are."""
        return LLMMetadata()

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The pieces."""

        def stream() -> Generator[ChatResponse, None, None]:
            text = ""
            for piece in source(self.setting):
                text += piece
                yield _response(text, piece)

        return stream()

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """The pieces."""

        async def stream() -> AsyncGenerator[ChatResponse, None]:
            text = ""
            async for piece in asource(self.setting):
                text += piece
                yield _response(text, piece)

        return stream()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Not here."""
        raise NotImplementedError("it only streams chats")

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Not here."""
        raise NotImplementedError("it only streams chats")


def _response(text: str, piece: str) -> ChatResponse:
    return ChatResponse(message=ChatMessage(content=text, role=MessageRole.ASSISTANT), delta=piece)
