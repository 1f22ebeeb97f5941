"""What of an earlier answer is sent back: text, reasoning, and calls of our tools.

Answers of other providers also have blocks that are no content: calls of the provider's own tools
and their results, reasoning that only the provider can read, refusals. They are left out, so that
a conversation that began in the cloud goes on here. Names: ``langchain_core/messages/content.py``
and ``block_translators`` there (langchain-core 1.8), and the providers' own APIs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage

from langchain_rocm.conversion.media import (
    MEDIA,
    TEXT,
    is_cache_point,
    request_part,
    unknown_part,
)
from rocm_core.requests import object_text

_REASONING = frozenset({"reasoning", "thinking"})
# Calls of our tools; LangChain has them in ``tool_calls`` as well. Each with the names of its id
# and its arguments.
_CALLS = {
    "tool_call": ("id", "args"),
    "invalid_tool_call": ("id", "args"),
    "tool_use": ("id", "input"),
    "function_call": ("call_id", "arguments"),
    "custom_tool_call": ("call_id", "input"),
}
_NOT_CONTENT = frozenset(
    {
        *_REASONING,
        *_CALLS,
        *("tool_call_chunk", "server_tool_call", "server_tool_call_chunk", "server_tool_result"),
        *("non_standard", "citation", "non_standard_annotation", "refusal"),
        # Anthropic, Bedrock
        *("redacted_thinking", "server_tool_use", "mcp_tool_use", "mcp_tool_result"),
        *("input_json_delta", "container_upload", "search_result", "compaction"),
        *("reasoning_content", "guard_content"),
        # OpenAI, Google
        *("mcp_list_tools", "mcp_approval_request", "tool_search_output", "executable_code"),
        *("code_execution_result", "function_call_signature"),
    }
)
# Tools of providers come and go: ``web_search_call``, ``web_fetch_tool_result``, ….
_OF_PROVIDERS = ("_call", "_call_output", "_tool_result", "_tool_use")


def answer_text(message: AIMessage) -> str:
    """Return an answer's text as one string, because chat templates expect one.

    A block of a type that is not known is left out, with a warning once for each type.

    Raises:
        ConfigError: the answer has images, audio or files, or text of no kind that is known.
    """
    if isinstance(message.content, str):
        return message.content
    text = []
    for part in message.content:
        if isinstance(part, str):
            text.append(part)
            continue
        kind = part.get("type", "text" if "text" in part else None)
        if kind in TEXT:
            text.append(str(request_part(part, message)["text"]))
        elif kind in MEDIA:
            raise unknown_part(part, message)
        elif not _left_out(part, str(kind)):
            warnings.warn(
                f"a content block of type {kind!r} (keys {sorted(map(str, part))}) in an AIMessage "
                "is not sent to llama-server: put what the model should see of it into a block of "
                "type 'text'",
                stacklevel=2,
            )
    return "".join(text)


def _left_out(part: Mapping[str, Any], kind: str) -> bool:
    return kind in _NOT_CONTENT or kind.endswith(_OF_PROVIDERS) or is_cache_point(part)


def reasoning_of(message: AIMessage) -> str:
    """Return the reasoning of an answer, from its keyword arguments or its content blocks."""
    kept = message.additional_kwargs.get("reasoning_content")
    if isinstance(kept, str) and kept:
        return kept
    return "".join(
        str(block.get("reasoning") or block.get("thinking") or "")
        for block in _blocks(message)
        if block.get("type") in _REASONING
    )


def tool_calls(message: AIMessage) -> dict[str, Any]:
    """Return the request field ``tool_calls`` of an answer; nothing without calls.

    Raises:
        ConfigError: an argument has no JSON form.
    """
    calls = [_call(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    # The call itself must stay, because a tool message refers to it.
    calls += [_call(c["id"], c["name"], c["args"]) for c in message.invalid_tool_calls]
    known = {call["id"] for call in calls}
    for block in _blocks(message):
        if (names := _CALLS.get(str(block.get("type")))) is None:
            continue
        id_ = block.get(names[0]) or block.get("id") or ""
        if id_ not in known and (id_ or not calls):
            calls.append(_call(id_, block.get("name"), block.get(names[1])))
    return {"tool_calls": calls} if calls else {}


def _blocks(message: AIMessage) -> Iterator[Mapping[str, Any]]:
    if not isinstance(message.content, str):
        yield from (block for block in message.content if isinstance(block, Mapping))


def _call(id_: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    # Arguments that are no JSON would make the template, and so the server, fail on every
    # further turn.
    function = {"name": name or "", "arguments": object_text(arguments)}
    return {"type": "function", "id": id_ or "", "function": function}
