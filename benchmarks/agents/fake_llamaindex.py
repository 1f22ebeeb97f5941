"""The least that a LlamaIndex LLM can cost in an agent."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool

from benchmarks.agents.script import CALLS, argument_pieces
from benchmarks.contenders.fake_llamaindex import FakeLLM
from benchmarks.contenders.floor import asource

_CALL = "call"


class FakeAgentLLM(FakeLLM, FunctionCallingLLM):
    """One ``ChatResponse`` for each piece of a call or of the answer."""

    @property
    def metadata(self) -> LLMMetadata:
        """A model that calls functions."""
        return LLMMetadata(is_function_calling_model=True)

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """The pieces."""
        step = sum(message.role == MessageRole.TOOL for message in messages)

        async def stream() -> AsyncGenerator[ChatResponse, None]:
            text = ""
            if step < len(CALLS):
                for piece in argument_pieces(step):
                    text += piece
                    message = ChatMessage(content="", role=MessageRole.ASSISTANT)
                    message.additional_kwargs[_CALL] = (step, text)
                    yield ChatResponse(message=message, delta="")
                return
            async for piece in asource(self.setting):
                text += piece
                message = ChatMessage(content=text, role=MessageRole.ASSISTANT)
                yield ChatResponse(message=message, delta=piece)

        return stream()

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Not here."""
        raise NotImplementedError("it only streams")

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        return {"messages": chat_history}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The call, once its arguments are whole."""
        found = response.message.additional_kwargs.get(_CALL)
        if found is None or found[1] != CALLS[found[0]][1]:
            return []
        name, arguments = CALLS[found[0]]
        id_ = f"call{found[0]}"
        return [ToolSelection(tool_id=id_, tool_name=name, tool_kwargs=json.loads(arguments))]
