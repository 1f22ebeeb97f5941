"""Tools as llama-server takes them, and what its tool calls need beyond the wire. Pure.

    tool_request(tools, choice) ─▶ request fields, and what the answer must hold
    CallReader                  ─▶ events with whole calls, or an error that says what is missing
    object_text                 ─▶ arguments of the past that no server chokes on

llama-server reads ``tool_choice`` as a string, so the object that names one tool would become
``auto`` (``tools/server/server-common.cpp``); and its ``required`` allows text before the call,
as long as the model likes. One named tool is therefore forced by a schema: the answer is the
arguments, and ``CallReader`` makes a call of it. ``insisting`` does so for several tools, when
``required`` was not enough.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rocm_core.errors import ConfigError, InvalidAnswer
from rocm_core.requests.response_format import response_format
from rocm_core.types import StreamEvent, ToolCallDelta

_ANY = frozenset({"any", "required"})
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """What a request says of tools.

    Attributes:
        fields: request fields of ``/v1/chat/completions``.
        required: the answer must hold a call.
        forced: the one tool whose arguments the answer's text is, if one was named.
        any_forced: the answer's text is one call, ``{"name": …, "arguments": {…}}``.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    forced: str | None = None
    any_forced: bool = False


def tool_request(tools: Sequence[Mapping[str, Any]], choice: Any = None) -> ToolRequest:
    """The request for ``tools`` in OpenAI's form.

    Args:
        choice: ``None``, ``False`` or ``"auto"``: as the model likes. ``"none"``: no call.
            ``"any"``, ``"required"`` or ``True``: at least one. A tool's name, or an object
            that holds it (OpenAI's and Anthropic's forms): a call of this tool, nothing else.

    Raises:
        ConfigError: the choice names no tool of these, or there is none to choose from.
    """
    named = _choice(choice)
    if named in ("auto", "none"):
        if not tools:
            return ToolRequest()
        return ToolRequest({"tools": list(tools), "tool_choice": named})
    names = [tool_name(tool) for tool in tools]
    if named == "required" and names:
        if choice is not True or len(names) > 1:
            return ToolRequest({"tools": list(tools), "tool_choice": named}, required=True)
        named = names[0]
    if named not in names:
        given = ", ".join(names) or "no tools at all"
        raise ConfigError(f"tool_choice {choice!r} names none of the tools given: {given}")
    return _forced(tools[names.index(named)])


def insisting(request: ToolRequest) -> ToolRequest:
    """The request for when a call was required and the model just talked: forced by a schema."""
    tools = request.fields["tools"]
    if len(tools) == 1:
        return _forced(tools[0])
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool_name(tool)}, "arguments": _parameters(tool)},
            "required": ["name", "arguments"],
        }
        for tool in tools
    ]
    fields = {**request.fields, "response_format": response_format({"anyOf": calls}, "call")}
    return ToolRequest(fields, required=True, any_forced=True)


def _forced(tool: Mapping[str, Any]) -> ToolRequest:
    name = tool_name(tool)
    fields = {
        "tools": [tool],
        "tool_choice": "required",
        "response_format": response_format(_parameters(tool), name),
    }
    return ToolRequest(fields, required=True, forced=name)


def _parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = tool["function"].get("parameters") or {}
    return parameters if parameters.get("properties") else _NO_ARGUMENTS


def _choice(choice: Any) -> str:
    """``auto``, ``none``, ``required``, or a tool's name."""
    if choice is None or choice is False:
        return "auto"
    if choice is True:
        return "required"
    if isinstance(choice, Mapping):
        inner = choice.get("function")
        name = inner.get("name") if isinstance(inner, Mapping) else choice.get("name")
        choice = name or choice.get("type")
    if not isinstance(choice, str):
        raise ConfigError(
            f"tool_choice {choice!r} is not understood: give 'auto', 'none', 'any', or the name "
            "of a tool"
        )
    return "required" if choice in _ANY else choice


def tool_name(tool: Mapping[str, Any]) -> str:
    """The name of a tool in OpenAI's form.

    Raises:
        ConfigError: it has none.
    """
    function = tool.get("function")
    if not isinstance(function, Mapping) or not function.get("name"):
        raise ConfigError(f"a tool needs a function with a name, got {tool!r}")
    return str(function["name"])


def object_text(arguments: Any) -> str:
    """The arguments of a past call as JSON text of an object; ``{}`` for what is none.

    llama-server answers every further turn with a 500 otherwise.
    """
    if isinstance(arguments, Mapping):
        return json.dumps(arguments, ensure_ascii=False)
    return arguments if isinstance(arguments, str) and _is_object(arguments) else "{}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class CallReader:
    """The events of an answer that may or must hold tool calls."""

    def __init__(self, request: ToolRequest) -> None:
        self._request = request
        self._forced = request.forced
        self._arguments: dict[int, str] = {}
        self._text = ""
        self._finish_reason: str | None = None

    def read(self, event: StreamEvent) -> StreamEvent:
        """``event``, with an id for every call and a forced answer as the call that it is."""
        if event.tool_calls:
            event.tool_calls = tuple(self._noted(call) for call in event.tool_calls)
        elif event.text:
            self._text += event.text
            if self._forced:
                self._call_instead(event)
            elif self._request.any_forced:
                event.text = ""
        if event.finish_reason:
            if self._request.any_forced and not self._arguments:
                event.tool_calls = self._written_call()
            self._finish_reason = event.finish_reason
            if self._arguments and event.finish_reason == "stop":
                event.finish_reason = "tool_calls"
        return event

    def _call_instead(self, event: StreamEvent) -> None:
        text, event.text = event.text, ""
        if self._arguments:
            event.tool_calls = (self._noted(ToolCallDelta(0, None, None, text)),)
        elif text := text.lstrip():
            event.tool_calls = (self._noted(ToolCallDelta(0, None, self._forced, text)),)

    def _written_call(self) -> tuple[ToolCallDelta, ...]:
        try:
            call = json.loads(self._text)
            delta = ToolCallDelta(0, None, call["name"], object_text(call["arguments"]))
        except (ValueError, TypeError, KeyError):
            return ()  # verify() will say that the call is missing
        return (self._noted(delta),)

    def _noted(self, call: ToolCallDelta) -> ToolCallDelta:
        first = call.index not in self._arguments
        self._arguments[call.index] = self._arguments.get(call.index, "") + call.arguments
        if first and not call.id:
            return ToolCallDelta(call.index, new_call_id(), call.name, call.arguments)
        return call

    def verify(self) -> None:
        """To be called at the end.

        Raises:
            InvalidAnswer: a call that was required is missing, or was cut off.
        """
        cut = self._finish_reason == "length"
        if any(cut and not _is_object(text) for text in self._arguments.values()):
            raise InvalidAnswer(
                "the answer reached its token limit inside a tool call; raise max_tokens",
                text=self._text or "".join(self._arguments.values()),
            )
        if self._request.required and not self._arguments:
            why = "it reached its token limit first" if cut else "the model just talked"
            raise InvalidAnswer(
                f"the request requires a tool call and the answer has none: {why}. Raise "
                "max_tokens, name the tool in tool_choice, or use a model trained for tools.",
                text=self._text,
            )


def new_call_id() -> str:
    """For a call that the server gave none."""
    return f"call_{uuid.uuid4().hex[:24]}"
