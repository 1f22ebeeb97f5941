"""The least that a LangChain chat model can cost in an agent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from benchmarks.agents.script import CALLS, argument_pieces
from benchmarks.contenders.fake_langchain import FakeChat


class FakeAgentChat(FakeChat):
    """One plain ``AIMessageChunk`` for each piece of a call or of the answer."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Without looking at them."""
        return self.bind()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        step = sum(isinstance(message, ToolMessage) for message in messages)
        if step >= len(CALLS):
            yield from super()._stream(messages, stop, run_manager, **kwargs)
            return
        name, id_ = CALLS[step][0], f"call{step}"
        for piece in argument_pieces(step):
            call = tool_call_chunk(name=name or None, args=piece, id=id_ or None, index=0)
            message = AIMessageChunk(content="", tool_call_chunks=[call])
            yield ChatGenerationChunk(message=message)
            name = id_ = ""
