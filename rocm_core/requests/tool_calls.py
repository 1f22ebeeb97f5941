"""Write tools and tool choices as llama-server enforces them, and check the calls. Pure.

    tool_request(tools, choice) ─▶ request fields, and what the answer must contain
    CallReader                  ─▶ events with whole calls, or an error that says what is missing
    refuse_unanswered           ─▶ an error for a conversation that ends in tool calls

llama-server reads ``tool_choice`` as a string, so it takes the object that names one tool for
``auto`` (``tools/server/server-common.cpp``); and its ``required`` allows text of any length
before the call. So a schema forces one named tool: the answer is the call's arguments, and
``CallReader`` makes a call of it. ``insisting`` does the same for several tools, if ``required``
was not enough.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rocm_core.errors import ConfigError, InvalidAnswer
from rocm_core.requests.arguments import parse_arguments
from rocm_core.requests.response_format import schema_format
from rocm_core.requests.tool_schema import is_object, resolved
from rocm_core.types import StreamEvent, ToolCallDelta

_ANY = frozenset({"any", "required"})
# A schema of arguments with none of these has no arguments.
_OF_ARGUMENTS = (
    *("properties", "patternProperties", "additionalProperties", "required", "minProperties"),
    *("anyOf", "oneOf", "allOf", "$ref", "enum", "const", "items", "prefixItems"),
)
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """The part of a request that concerns tools, and what the answer must contain.

    Attributes:
        fields: request fields of ``/v1/chat/completions``; empty without tools.
        required: whether the answer must contain a call.
        forced: name of the tool whose arguments the answer's text is; ``None``: no such tool.
        any_forced: whether the answer's text is one call, ``{"name": …, "arguments": {…}}``.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    forced: str | None = None
    any_forced: bool = False


def refuse_unanswered(messages: Sequence[Mapping[str, Any]]) -> None:
    """Raise if a conversation ends in tool calls.

    llama-server takes a last message of the assistant for the beginning of its answer, and cannot
    go on after a call (``tools/server/server-common.cpp``).

    Args:
        messages: as ``/v1/chat/completions`` takes them.

    Raises:
        ConfigError: it does; the message names the calls.
    """
    last = messages[-1] if messages else {}
    if last.get("role") == "assistant" and (calls := last.get("tool_calls")):
        raise unanswered([(call.get("function") or {}).get("name") for call in calls])


def unanswered(names: Sequence[str | None]) -> ConfigError:
    """Return the error of a conversation that ends in calls of these tools."""
    listed = ", ".join(name for name in names if name)
    return ConfigError(
        f"the conversation ends in tool calls{f' ({listed})' if listed else ''}: answer the tools "
        "first. Add one message with each tool's result (role 'tool', with the call's id), then "
        "ask the model."
    )


def tool_request(tools: Sequence[Mapping[str, Any]], choice: Any = None) -> ToolRequest:
    """Return the request for ``tools``.

    Args:
        tools: in OpenAI's form, ``{"type": "function", "function": {"name": …, …}}``.
        choice: ``None``, ``False`` or ``"auto"``: the model decides. ``"none"``: no call.
            ``"any"``, ``"required"`` or ``True``: at least one call. A tool's name, or an object
            that contains it (OpenAI's and Anthropic's forms): a call of this tool and nothing
            else.

    Raises:
        ConfigError: a tool has no name, or arguments that are no object; the choice is not
            understood or names none of the tools; or a call is required and there are no tools.
    """
    named = _choice(choice)
    tools = [_shown(tool) for tool in tools]
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
    """Return the request that forces a call of any tool by a schema.

    For the second attempt, after a model wrote text although ``request`` required a call.

    Args:
        request: with at least one tool in its fields.
    """
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
    fields = {**request.fields, "response_format": schema_format({"anyOf": calls}, "call")}
    return ToolRequest(fields, required=True, any_forced=True)


def insisting_fields(fields: Mapping[str, Any], call: ToolRequest) -> dict[str, Any]:
    """Return the fields of the second request, which forces ``call``, without reasoning.

    Args:
        fields: of the first request.
        call: of ``insisting``.
    """
    thinking = {**fields.get("chat_template_kwargs", {}), "enable_thinking": False}
    return {**fields, **call.fields, "chat_template_kwargs": thinking}


def _forced(tool: Mapping[str, Any]) -> ToolRequest:
    name = tool_name(tool)
    fields = {
        "tools": [tool],
        "tool_choice": "required",
        "response_format": schema_format(_parameters(tool), name),
    }
    return ToolRequest(fields, required=True, forced=name)


def _parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = tool["function"].get("parameters") or {}
    return parameters if _has_arguments(parameters) else _NO_ARGUMENTS


def _has_arguments(parameters: Mapping[str, Any]) -> bool:
    # ``{"type": "object"}`` alone, or without properties, is how tools without arguments are
    # written.
    return any(parameters.get(keyword) for keyword in _OF_ARGUMENTS)


def _shown(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """``tool`` with ``type`` and ``properties`` at the top of its parameters.

    Chat templates read them there, and some fail without.
    """
    name = tool_name(tool)
    parameters = tool["function"].get("parameters") or {}
    no_object = parameters.get("type", "object") != "object"
    if not no_object and (not _has_arguments(parameters) or "properties" in parameters):
        return tool
    if not is_object(parameters):
        raise ConfigError(
            f"tool {name!r}: the arguments of a call are a JSON object, and the schema of this "
            f"tool's allows something else ({_kind(parameters)}). Make it the one property of an "
            "object, or ask for the value as structured output instead of a call."
        )
    found = resolved(str(parameters.get("$ref")), parameters)
    if isinstance(found, Mapping) and {"$ref", "$defs", "definitions"}.issuperset(parameters):
        rest = {key: value for key, value in parameters.items() if key != "$ref"}
        parameters = {**found, **rest}
    parameters = {"type": "object", "properties": {}, **parameters}
    return {**tool, "function": {**tool["function"], "parameters": parameters}}


def _kind(schema: Mapping[str, Any]) -> str:
    keyword = next(keyword for keyword in ("type", *_OF_ARGUMENTS) if keyword in schema)
    return f"{keyword}: {json.dumps(schema[keyword])[:60]}"


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
    """Return the name of a tool in OpenAI's form.

    Raises:
        ConfigError: the tool has no function with a name.
    """
    function = tool.get("function")
    if not isinstance(function, Mapping) or not function.get("name"):
        raise ConfigError(f"a tool needs a function with a name, got {tool!r}")
    return str(function["name"])


class CallReader:
    """Reads the events of one answer that may or must contain tool calls.

    Gives every call an id, turns a forced answer's text into the call that it is, and checks at
    the end that no call is missing or cut off.

    Attributes:
        changes_text: whether text may be a call. If not, ``note_text`` will do for an event that
            has a piece of text and nothing else.
    """

    def __init__(self, request: ToolRequest) -> None:
        self.changes_text = bool(request.forced or request.any_forced)
        self._request = request
        self._forced = request.forced
        self._arguments: dict[int, list[str]] = {}
        self._texts: list[str] = []
        self._finish_reason: str | None = None

    def read(self, event: StreamEvent) -> StreamEvent:
        """Change ``event`` in place and return it: ids for calls, forced text as a call."""
        if event.tool_calls:
            event.tool_calls = tuple(self._noted(call) for call in event.tool_calls)
        elif event.text:
            self._texts.append(event.text)
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

    def note_text(self, text: str) -> None:
        """Keep a piece of the answer's text, for the error that may come at its end."""
        self._texts.append(text)

    def _call_instead(self, event: StreamEvent) -> None:
        text, event.text = event.text, ""
        if self._arguments:
            event.tool_calls = (self._noted(ToolCallDelta(0, None, None, text)),)
        elif text := text.lstrip():
            event.tool_calls = (self._noted(ToolCallDelta(0, None, self._forced, text)),)

    def _written_call(self) -> tuple[ToolCallDelta, ...]:
        try:
            call = json.loads("".join(self._texts))
            name, given = str(call["name"]), call["arguments"]
        except (ValueError, TypeError, KeyError):
            return ()  # verify() raises for the missing call
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        return (self._noted(ToolCallDelta(0, None, name, text)),)

    def _noted(self, call: ToolCallDelta) -> ToolCallDelta:
        first = call.index not in self._arguments
        self._arguments.setdefault(call.index, []).append(call.arguments)
        if first and not call.id:
            return ToolCallDelta(call.index, new_call_id(), call.name, call.arguments)
        return call

    def verify(self) -> None:
        """Check the answer after its last event.

        Raises:
            InvalidAnswer: a required call is missing, or the token limit cut a call off.
        """
        cut = self._finish_reason == "length"
        written = ["".join(pieces) for pieces in self._arguments.values()]
        if cut and not all(map(_whole, written)):
            raise InvalidAnswer(
                "the answer reached its token limit inside a tool call; raise max_tokens",
                text="".join(self._texts or written),
            )
        if self._request.required and not self._arguments:
            why = "it reached its token limit first" if cut else "the model just talked"
            raise InvalidAnswer(
                f"the request requires a tool call and the answer has none: {why}. Raise "
                "max_tokens, name the tool in tool_choice, or use a model trained for tools.",
                text="".join(self._texts),
            )


def _whole(arguments: str) -> bool:
    try:
        parse_arguments(arguments)
    except InvalidAnswer:
        return False
    return bool(arguments.strip())


def new_call_id() -> str:
    """Return a random id for a call that the server sent without one."""
    return f"call_{uuid.uuid4().hex[:24]}"
