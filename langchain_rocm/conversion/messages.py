"""Convert LangChain messages to the ``messages`` of ``/v1/chat/completions``.

    SystemMessage  {"role": "system", "content": …}
    HumanMessage   {"role": "user", "content": … [, "name"]}
    AIMessage      {"role": "assistant", "content": … [, "tool_calls"] [, "reasoning_content"]}
    ToolMessage    {"role": "tool", "tool_call_id": …, "content": … [, "name"]}
    ChatMessage    {"role": as given, "content": …}

Content is a string, or a list of the parts that llama-server takes (``media``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_rocm.conversion.media import request_part, unknown_part
from rocm_core.errors import ConfigError
from rocm_core.requests import object_text

# Blocks of an answer that are not sent as content: calls go into ``tool_calls``, and reasoning
# into ``reasoning_content``.
_REASONING = frozenset({"reasoning", "thinking"})
_CALLS = frozenset({"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use"})
_NOT_CONTENT = _REASONING | _CALLS


def request_messages(
    messages: Sequence[BaseMessage], *, reasoning: bool | None = None
) -> list[dict[str, Any]]:
    """Convert messages, one to one.

    Args:
        messages: LangChain's.
        reasoning: whether to send the reasoning of earlier answers; ``None``: only of answers
            since the last human message, which belong to the running tool loop.

    Raises:
        ConfigError: llama-server does not take a message's class or a part of its content.
    """
    turns = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
    loop = turns[-1] if turns else -1
    return [
        _message(message, i > loop if reasoning is None else reasoning)
        for i, message in enumerate(messages)
    ]


def _message(message: BaseMessage, with_reasoning: bool) -> dict[str, Any]:
    fields: dict[str, Any]
    if isinstance(message, HumanMessage):
        fields = {"role": "user", "content": _content(message)}
    elif isinstance(message, AIMessage):
        fields = {"role": "assistant", "content": _answer_text(message), **_tool_calls(message)}
        if with_reasoning and (thought := reasoning_of(message)):
            fields["reasoning_content"] = thought
    elif isinstance(message, SystemMessage):
        fields = {"role": "system", "content": _content(message)}
    elif isinstance(message, ToolMessage):
        fields = {"role": "tool", "content": _content(message)}
        fields["tool_call_id"] = message.tool_call_id
    elif isinstance(message, ChatMessage):
        fields = {"role": message.role, "content": _content(message)}
    else:
        raise ConfigError(
            f"a {type(message).__name__} cannot be sent to llama-server. Use system, human, AI, "
            "tool or chat messages."
        )
    if message.name:
        fields["name"] = message.name
    return fields


def _content(message: BaseMessage) -> str | list[dict[str, Any]]:
    content = message.content
    if isinstance(content, str):
        return content
    parts = [request_part(part, message) for part in content]
    if len(parts) == 1 and parts[0]["type"] == "text":
        # A plain string also works with templates that cannot take a list of parts.
        return str(parts[0]["text"])
    return parts


# ---------------------------------------------------------------------------
# Earlier answers
# ---------------------------------------------------------------------------


def reasoning_of(message: AIMessage) -> str:
    """Return the reasoning of an answer, from its keyword arguments or its content blocks."""
    kept = message.additional_kwargs.get("reasoning_content")
    if isinstance(kept, str) and kept:
        return kept
    if isinstance(message.content, str):
        return ""
    parts = [p for p in message.content if isinstance(p, Mapping) and p.get("type") in _REASONING]
    return "".join(str(p.get("reasoning") or p.get("thinking") or "") for p in parts)


def _answer_text(message: AIMessage) -> str:
    """Return an answer's text as one string, because chat templates expect one."""
    if isinstance(message.content, str):
        return message.content
    text = []
    for part in message.content:
        if isinstance(part, str):
            text.append(part)
        elif part.get("type") not in _NOT_CONTENT:
            read = request_part(part, message)
            if read["type"] != "text":
                raise unknown_part(part, message)
            text.append(str(read["text"]))
    return "".join(text)


def _tool_calls(message: AIMessage) -> dict[str, Any]:
    calls = [_tool_call(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    # Arguments that are no JSON would make the template, and so the server, fail on every
    # further turn. The call itself must stay, because a tool message refers to it.
    calls += [_tool_call(c["id"], c["name"] or "", c["args"]) for c in message.invalid_tool_calls]
    return {"tool_calls": calls} if calls else {}


def _tool_call(id_: str | None, name: str, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": object_text(arguments)}
    return {"type": "function", "id": id_ or "", "function": function}
