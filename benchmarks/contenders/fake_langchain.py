"""The least that a LangChain chat model can cost: native streams, and nothing to do for a piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from benchmarks.contenders.floor import asource, source


class FakeChat(BaseChatModel):
    """One plain ``AIMessageChunk`` for each piece."""

    setting: Any

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in source(self.setting):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for piece in asource(self.setting):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("it only streams")


class FakeNativeChat(FakeChat):
    """One event of LangChain's content-block protocol for each piece, without a chunk."""

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        yield {"event": "message-start", "role": "ai", "id": "", "metadata": {}}
        empty = {"type": "text", "text": ""}
        yield {"event": "content-block-start", "index": 0, "content": empty}
        pieces = []
        for piece in source(self.setting):
            pieces.append(piece)
            delta = {"type": "text-delta", "text": piece}
            yield {"event": "content-block-delta", "index": 0, "delta": delta}
        whole = {"type": "text", "text": "".join(pieces)}
        yield {"event": "content-block-finish", "index": 0, "content": whole}
        yield {"event": "message-finish", "metadata": {}}
