"""Convert LangChain messages to the ``messages`` of ``/v1/chat/completions``.

    SystemMessage  {"role": "system", "content": …}
    HumanMessage   {"role": "user", "content": … [, "name"]}
    AIMessage      {"role": "assistant", "content": … [, "tool_calls"] [, "reasoning_content"]}
    ToolMessage    {"role": "tool", "tool_call_id": …, "content": … [, "name"]}
    ChatMessage    {"role": as given, "content": …}

Content is a string, or a list of the parts that llama-server takes (``media``). Answers of other
providers are read by ``answers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_rocm.conversion.answers import answer_text, reasoning_of, tool_calls
from langchain_rocm.conversion.media import is_cache_point, request_part
from rocm_core.errors import ConfigError


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
        fields = {"role": "assistant", "content": answer_text(message), **tool_calls(message)}
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
    parts = [request_part(part, message) for part in content if not is_cache_point(part)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        # A plain string also works with templates that cannot take a list of parts.
        return str(parts[0]["text"])
    return parts if parts else ""
