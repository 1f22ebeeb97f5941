"""The chunks of an answer that may call tools, and its calls as LangChain's.

LangChain repairs the arguments of a call whenever it adds chunks: of ``{"path": "/home/me/old``
it makes ``{"path": "/home/me/old"}``, and agents run that. While an answer is being written that
is what people want to see; once it has ended, half an argument is no call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call
from typing_extensions import override

from rocm_core.errors import InvalidAnswer
from rocm_core.requests import read_call


class ToolChunk(AIMessageChunk, defer_build=True):
    """A chunk of an answer that may call tools.

    Added up with its answer's last chunk, it becomes an ``AIMessageChunk`` whose calls are those
    with whole arguments; the others are ``invalid_tool_calls``, with their text as the model wrote
    it.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Return the id of ``AIMessageChunk``: what is written down needs no class of ours."""
        return AIMessageChunk.lc_id()

    @override
    def __add__(self, other: Any) -> Any:
        added: Any = super().__add__(other)
        if not isinstance(added, ToolChunk) or added.chunk_position != "last":
            return added
        fields = {name: value for name, value in added.__dict__.items() if name != "type"}
        return with_whole_calls(AIMessageChunk(**fields))


def with_whole_calls(message: AIMessageChunk) -> AIMessageChunk:
    """Read the calls of a whole answer anew, in place, and repair nothing; return it."""
    message.tool_calls, message.invalid_tool_calls = split_calls(message.tool_call_chunks)
    if message.invalid_tool_calls and isinstance(message.content, list):
        invalid = {call["id"]: call for call in message.invalid_tool_calls}
        message.content = [
            dict(invalid[block["id"]])
            if isinstance(block, dict)
            and block.get("type") in ("tool_call", "tool_call_chunk")
            and block.get("id") in invalid
            else block
            for block in message.content
        ]
    return message


def split_calls(chunks: Sequence[ToolCallChunk]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return the calls of a whole answer, and those without a name or a JSON object."""
    calls, invalid = [], []
    for chunk in chunks:
        try:
            args = read_call(chunk["name"], chunk["args"] or "")
        except InvalidAnswer as error:
            invalid.append(
                invalid_tool_call(
                    name=chunk["name"], args=chunk["args"], id=chunk["id"], error=str(error)
                )
            )
        else:
            calls.append(tool_call(name=chunk["name"] or "", args=args, id=chunk["id"]))
    return calls, invalid
