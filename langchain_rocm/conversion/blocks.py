"""Read our messages as LangChain's standard content blocks.

Importing this module registers it for the provider ``rocm``: ``message.content_blocks`` then calls
it for every message whose ``model_provider`` is ``rocm``. Blocks of a chunk carry an ``index``, so
that adding chunks joins the pieces of one block and nothing else.
"""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from langchain_rocm.streaming.chunks import PROVIDER

Block = dict[str, Any]


def message_blocks(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of a whole answer: reasoning, then content, then tool calls.

    Calls whose arguments are no JSON object are blocks of type ``invalid_tool_call``.
    """
    blocks = _content(message)
    present = {block.get("id") for block in blocks if block["type"] == "tool_call"}
    for call in message.tool_calls:
        if call["id"] not in present:
            blocks.append({"type": "tool_call", **call})
    shown = {block.get("id") for block in blocks if block["type"] == "invalid_tool_call"}
    blocks += [dict(bad) for bad in message.invalid_tool_calls if bad["id"] not in shown]
    return cast("list[types.ContentBlock]", blocks)


def chunk_blocks(message: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the part of each block that this chunk adds.

    The last chunk of an answer gives whole tool calls instead of their parts.
    """
    if not message.tool_call_chunks:
        # Nearly every chunk: a piece of text and nothing else.
        if type(message.content) is str and not message.additional_kwargs:
            text = message.content
            return [{"type": "text", "text": text, "index": "lc_text"}] if text else []
    elif message.chunk_position == "last":
        return message_blocks(message)
    blocks = _content(message)
    for block in blocks:
        if "index" not in block:
            block["index"] = f"lc_{block['type']}"
    for chunk in message.tool_call_chunks:
        call: Block = {"type": "tool_call_chunk", **chunk, "index": f"lc_call_{chunk['index']}"}
        blocks.append(call)
    return cast("list[types.ContentBlock]", blocks)


def _content(message: AIMessage) -> list[Block]:
    content = message.content
    if isinstance(content, str):
        blocks: list[Block] = [{"type": "text", "text": content}] if content else []
    else:
        blocks = [{"type": "text", "text": b} if isinstance(b, str) else dict(b) for b in content]
    thought = message.additional_kwargs.get("reasoning_content")
    if thought and not any(block.get("type") == "reasoning" for block in blocks):
        blocks.insert(0, {"type": "reasoning", "reasoning": thought})
    return blocks


register_translator(PROVIDER, message_blocks, chunk_blocks)
