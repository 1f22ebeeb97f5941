"""LangChain messages to the ``messages`` of ``/v1/chat/completions``. Pure.

    SystemMessage  {"role": "system", "content": …}
    HumanMessage   {"role": "user", "content": … [, "name"]}
    AIMessage      {"role": "assistant", "content": … [, "tool_calls"]}
    ToolMessage    {"role": "tool", "tool_call_id": …, "content": … [, "name"]}
    ChatMessage    {"role": as given, "content": …}

Content is a string, or a list of the parts that llama-server takes: ``text``, ``image_url`` and
``input_audio``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_data_block,
)

from rocm_core.errors import ConfigError

# What an answer's content may hold beside its text: the calls are sent as ``tool_calls``, and
# reasoning is no part of the content.
_NOT_CONTENT = frozenset(
    {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "reasoning", "thinking"}
)


def request_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The request's messages, one per LangChain message.

    Raises:
        ConfigError: a kind of message or content that llama-server does not take.
    """
    return [_message(message) for message in messages]


def _message(message: BaseMessage) -> dict[str, Any]:
    if isinstance(message, HumanMessage):
        fields = {"role": "user", "content": _content(message)}
    elif isinstance(message, AIMessage):
        fields = {"role": "assistant", "content": _answer_text(message), **_tool_calls(message)}
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


# ---------------------------------------------------------------------------
# Content
# ---------------------------------------------------------------------------


def _content(message: BaseMessage) -> str | list[dict[str, Any]]:
    content = message.content
    if isinstance(content, str):
        return content
    parts = [_part(part, message) for part in content]
    if len(parts) == 1 and parts[0]["type"] == "text":
        # Templates that know strings only get one without llama-server's help.
        return str(parts[0]["text"])
    return parts


def _part(part: str | Mapping[str, Any], message: BaseMessage) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type", "text" if "text" in part else None)
    if kind in ("text", "text-plain") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "image_url" and "image_url" in part:
        image = part["image_url"]
        return {"type": kind, "image_url": {"url": image} if isinstance(image, str) else image}
    if kind == "input_audio" and "input_audio" in part:
        return {"type": kind, "input_audio": part["input_audio"]}
    if kind in ("image", "audio"):
        return _data_part(part, message)
    raise _unknown_part(part, message)


def _data_part(part: Mapping[str, Any], message: BaseMessage) -> dict[str, Any]:
    """LangChain's own image and audio blocks."""
    try:
        return convert_to_openai_data_block(dict(part))
    except (KeyError, ValueError) as error:
        raise _unknown_part(part, message) from error


def _unknown_part(part: Mapping[str, Any], message: BaseMessage) -> ConfigError:
    return ConfigError(
        f"a content part of type {part.get('type')!r} (keys {sorted(map(str, part))}) in a "
        f"{type(message).__name__} cannot be sent to llama-server: it takes text, image_url and "
        "input_audio parts."
    )


# ---------------------------------------------------------------------------
# Answers, sent back
# ---------------------------------------------------------------------------


def _answer_text(message: AIMessage) -> str:
    """An answer's own text: chat templates want one string."""
    if isinstance(message.content, str):
        return message.content
    text = []
    for part in message.content:
        if isinstance(part, str):
            text.append(part)
        elif part.get("type") not in _NOT_CONTENT:
            read = _part(part, message)
            if read["type"] != "text":
                raise _unknown_part(part, message)
            text.append(str(read["text"]))
    return "".join(text)


def _tool_calls(message: AIMessage) -> dict[str, Any]:
    calls = [
        _tool_call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    # Arguments that are no JSON would make the template, and so the server, fail on every
    # further turn; the call itself must stay, for the tool message that answers it.
    calls += [_tool_call(c["id"], c["name"] or "", "{}") for c in message.invalid_tool_calls]
    return {"tool_calls": calls} if calls else {}


def _tool_call(id_: str | None, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"type": "function", "id": id_ or "", "function": function}
