"""The tool calls of earlier answers, from wherever other integrations have put them.

    ToolCallBlock                            a block of the message, as ours
    additional_kwargs["tool_calls"]          OpenAI's objects or dictionaries, LlamaIndex's
                                             ``ToolSelection``, in messages of other models

A call that is in both places is sent once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock

from rocm_core.errors import ConfigError
from rocm_core.requests import object_text


def earlier_calls(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the calls of a message as ``/v1/chat/completions`` takes them.

    Raises:
        ConfigError: one of them is of an unknown form.
    """
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    calls = [_call(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    others = message.additional_kwargs.get("tool_calls")
    if not others:
        return calls
    if isinstance(others, (str, Mapping)) or not isinstance(others, Iterable):
        raise _unknown(others)
    known = {block.tool_call_id for block in blocks}
    return calls + [call for call in map(_read, others) if not _among(call, calls, known)]


def _among(call: Mapping[str, Any], calls: list[dict[str, Any]], ids: set[str | None]) -> bool:
    if (id_ := call.get("id")) is not None:
        return id_ in ids
    return any(call["function"] == other["function"] for other in calls)


def _read(given: Any) -> dict[str, Any]:
    if isinstance(given, ToolCallBlock):
        return _call(given.tool_call_id, given.tool_name, given.tool_kwargs)
    # OpenAI: {"id", "function": {"name", "arguments"}}; custom tools have "custom" and "input".
    for inner, arguments in (("function", "arguments"), ("custom", "input")):
        if (function := _get(given, inner)) is not None:
            return _call(_get(given, "id"), _get(function, "name"), _get(function, arguments))
    # ToolSelection; calls without a wrapper.
    for id_, name, arguments in _FLAT:
        if isinstance(_get(given, name), str) and _has(given, arguments):
            return _call(_get(given, id_), _get(given, name), _get(given, arguments))
    raise _unknown(given)


_FLAT = (
    ("tool_id", "tool_name", "tool_kwargs"),
    ("id", "name", "arguments"),
    ("id", "name", "args"),
)


def _get(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)


def _has(given: Any, name: str) -> bool:
    return name in given if isinstance(given, Mapping) else hasattr(given, name)


def _call(id_: Any, name: Any, arguments: Any) -> dict[str, Any]:
    function = {"name": str(name or ""), "arguments": object_text(arguments)}
    call = {"type": "function", "function": function}
    return {"id": str(id_), **call} if id_ else call


def _unknown(given: Any) -> ConfigError:
    return ConfigError(
        f"a tool call in additional_kwargs['tool_calls'] is of an unknown form: {given!r:.200}. "
        "Use ToolCallBlock objects, or OpenAI's form {'id': …, 'function': {'name': …, "
        "'arguments': …}}."
    )
