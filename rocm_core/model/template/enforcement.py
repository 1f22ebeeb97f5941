"""Hold an answer to its schema where llama-server's own handler of a chat template does not.

    a probe shows the schema in       POST /v1/chat/completions with ``response_format``
    the grammar of a chat
    else                              POST /apply-template, POST /completion with ``json_schema``
    else, and the model may think     a chat without the schema as far as its thoughts go, then
                                      the same after them

Some templates have a handler in llama.cpp that makes no grammar of the schema (``HANDLERS``): the
answer is free text, without an error. The probe is one token, once
for a model without tools, with a call and without one, and only when an answer has a schema; with
``verbose`` the server tells the grammar of a request.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from rocm_core.client import Call, Chat, Completion, Steps, calls
from rocm_core.errors import HTTPStatusError
from rocm_core.model.template.probe import ABSENT, rendered
from rocm_core.model.template.variables.switches import opening
from rocm_core.requests import schema_format, schema_of
from rocm_core.types import ServerProps

log = logging.getLogger("rocm_core.model")
# Whose templates have such a handler (llama.cpp ``common/parsers``), and when; for the pages.
HANDLERS = {
    "Kimi K2, Kimi K3, GigaChat 3, Functionary v3.2": "always",
    "LFM2": "beside tools",
    "DeepSeek V3.2, DeepSeek V4": "beside tools that must not be called",
}
# Not part of any name that llama.cpp gives to the rules of a grammar ("tool-probe-schema").
_MARK = "Zq7Mark"
_SCHEMA = {
    "type": "object",
    "properties": {"value": {"type": "string", "const": _MARK}},
    "required": ["value"],
}
_TOOL = {
    "type": "function",
    "function": {
        "name": "probe",
        "description": "Probe.",
        "parameters": {
            "type": "object",
            "properties": {"value": {"type": "string", "description": "Any."}},
            "required": ["value"],
        },
    },
}
_ASK = {"role": "user", "content": "probe-1"}
_NEXT = {"role": "user", "content": "probe-3"}
# Fields of a chat that shape its prompt.
_OF_PROMPT = ("tools", "tool_choice", "chat_template_kwargs", "reasoning_effort")
# Fields of a chat that POST /completion has no place for, or does not need.
_OF_CHAT = frozenset(
    {
        *_OF_PROMPT,
        *("response_format", "parallel_tool_calls", "parse_tool_calls", "model"),
        *("reasoning_format", "reasoning_budget_tokens", "thinking_budget_tokens"),
        *("reasoning_control", "reasoning_budget_message", "logprobs", "top_logprobs"),
    }
)


@dataclass(frozen=True, slots=True)
class AfterThoughts:
    """A request in two: thoughts, and the answer that follows them.

    Attributes:
        thoughts: the chat without its schema.
        schema: of the answer.
        request: the chat.
    """

    thoughts: Chat
    schema: Mapping[str, Any]
    request: Chat

    def answer(self, thoughts: str) -> Steps[Completion]:
        """Return the request of the answer, after these thoughts."""
        return as_completion(self.request, self.schema, thoughts)


class Enforcement:
    """Whether llama-server holds answers to a schema through the chat template of one model."""

    def __init__(self) -> None:
        self._holds: dict[bool | str, bool] = {}

    def holds(self, request: Chat, props: ServerProps) -> Steps[bool]:
        """Return whether the chat endpoint holds the answer of a request to its schema, if any.

        Args:
            request: for a server with ``/v1/chat/completions``.
            props: the server's facts; one that shows no chat template is no llama-server, and is
                not asked.
        """
        format_ = request.fields.get("response_format")
        if not props.chat_template or not format_ or "json_schema" not in format_:
            return True
        tools = bool(request.fields.get("tools"))
        called = request.fields.get("tool_choice") != "none"
        beside = "none" if tools and not called else tools
        if beside not in self._holds:
            self._holds[beside] = yield from chat_holds(tools, called)
            if not self._holds[beside]:
                log.info(
                    "llama-server makes no grammar of response_format for this chat template: "
                    "answers with a schema go through /apply-template and /completion"
                )
        return self._holds[beside]


def held(request: Chat, *, thinks: bool) -> Steps[Completion | AfterThoughts]:
    """Return the request whose answer ``POST /completion`` holds to its schema.

    Args:
        request: a chat with ``response_format``.
        thinks: the model may think before it answers.
    """
    schema = schema_of(request.fields["response_format"])
    if not thinks:
        return (yield from as_completion(request, schema))
    fields = {n: value for n, value in request.fields.items() if n != "response_format"}
    if "tools" in fields:
        fields["tool_choice"] = "none"
    return AfterThoughts(replace(request, fields=fields), schema, request)


def chat_holds(tools: bool, called: bool = True) -> Steps[bool]:
    """Return whether the chat endpoint makes a grammar of a schema; also ``True`` if unknown.

    Args:
        tools: beside a tool.
        called: the tool must be called; else it must not.
    """
    body: dict[str, Any] = {
        "messages": [_ASK],
        "response_format": schema_format(_SCHEMA),
        "chat_template_kwargs": {"enable_thinking": False},
        "max_tokens": 1,
        "verbose": True,
    }
    if tools:
        body |= {"tools": [_TOOL], "tool_choice": "required", "parallel_tool_calls": False}
        if not called:
            body["tool_choice"] = "none"
    try:
        settings = yield Call("POST", "/v1/chat/completions", _settings, body)
    except HTTPStatusError as error:
        # The one token is not what the handler's parser expects, which a grammar would have seen to
        # (status 500); any other error says nothing.
        if error.status == 500 and "format" in error.message:
            return False
        if error.status in (400, 422, *ABSENT):
            return True
        raise
    if "grammar" not in settings:
        return True
    return _MARK in str(settings["grammar"]) and not settings.get("grammar_lazy")


def _settings(content: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    verbose = answer.get("__verbose") if isinstance(answer, dict) else None
    found: Mapping[str, Any] = (verbose or {}).get("generation_settings") or {}
    return found


def as_completion(
    request: Chat, schema: Mapping[str, Any], thoughts: str = ""
) -> Steps[Completion]:
    """Return the completion of the prompt that the template makes, held to a schema.

    Args:
        request: the chat.
        schema: of its answer; of the arguments, for one tool that must be called.
        thoughts: what the model has thought.
    """
    shaping = {name: request.fields[name] for name in _OF_PROMPT if name in request.fields}
    prompt: str = yield calls.apply_template(request.messages, **shaping)
    thought = (yield from _with_thoughts(request, shaping, thoughts)) if thoughts else None
    if thought:
        prompt = thought
    elif opened := opening(prompt):
        prompt += opened.end
    else:
        prompt += yield from lead(request, shaping)
    extra = {name: value for name, value in request.fields.items() if name not in _OF_CHAT}
    if request.fields.get("logprobs"):
        extra["n_probs"] = request.fields.get("top_logprobs") or 20
    config = replace(request.config, json_schema=schema, extra={**extra, **request.config.extra})
    return Completion(prompt, config)


def _with_thoughts(request: Chat, shaping: Mapping[str, Any], thoughts: str) -> Steps[str | None]:
    """Return the prompt with these thoughts, closed; ``None`` if the template shows none."""
    begun = {"role": "assistant", "content": "", "reasoning_content": thoughts}
    going_on = {"continue_final_message": "content", "add_generation_prompt": False}
    prompt = yield from rendered([*request.messages, begun], **shaping, **going_on)
    return prompt if prompt and thoughts in prompt else None


def lead(request: Chat, shaping: Mapping[str, Any]) -> Steps[str]:
    """Return what the template writes between its prompt and the answer; empty if unknown.

    Such as the recipient ``all`` of Functionary, or the beginning of a tool call, whose arguments
    are the answer.
    """
    names = [tool["function"]["name"] for tool in shaping.get("tools") or ()]
    forced = request.fields["response_format"]["json_schema"].get("name")
    answer: dict[str, Any] = {"role": "assistant", "content": _MARK}
    after = [_NEXT]
    if shaping.get("tool_choice") == "required" and names == [forced]:
        function = {"name": forced, "arguments": orjson.dumps({"value": _MARK}).decode()}
        call = {"id": "probe0001", "type": "function", "function": function}
        answer |= {"content": "", "tool_calls": [call]}
        after = [{"role": "tool", "tool_call_id": "probe0001", "content": "probe-2"}, _NEXT]
    begun = yield from rendered([_ASK], **shaping)
    whole = yield from rendered([_ASK, answer, *after], **shaping)
    if not begun or not whole or not whole.startswith(begun):
        return ""
    found, mark, _ = whole[len(begun) :].partition(_MARK)
    if "tool_calls" in answer:
        found, brace, _ = found.rpartition("{")
        return found if mark and brace else ""
    return found if mark else ""
