"""Conversations that some chat templates refuse or show in part, and what becomes of them.

CASES                     the conversations, by name
outcome(model, messages)  what reaches the model of one of them
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from rocm_core import TextModel
from rocm_core.client import calls, run_steps
from rocm_core.errors import ConfigError, RocmError
from rocm_core.model.steps import Ready, RequestSteps, Sender

Message = dict[str, Any]
Outcome = Literal["shown", "repaired", "refused", "dropped", "error"]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look something up.",
            "parameters": {"type": "object", "properties": {"key": {"type": "string"}}},
        },
    }
]


def text(role: str, *texts: str) -> Message:
    """A message of one text, or of a list of several."""
    several = [{"type": "text", "text": one} for one in texts]
    return {"role": role, "content": texts[0] if len(texts) == 1 else several}


def calling(*names: str, beside: str = "", ids: str = "call_") -> Message:
    """An assistant's message with a call for each name."""
    made = [
        {
            "type": "function",
            "id": f"{ids}{name}",
            "function": {"name": f"get_{name}", "arguments": json.dumps({"key": f"ARG{name}"})},
        }
        for name in names
    ]
    return {"role": "assistant", "content": beside, "tool_calls": made}


def result(name: str, *texts: str, ids: str = "call_") -> Message:
    """The result of the call with this name."""
    return {**text("tool", *(texts or (f"RESULT{name}",))), "tool_call_id": f"{ids}{name}"}


SYSTEM, USER, REPLY, AGAIN = (
    text("system", "SYSTEM"),
    text("user", "QUESTION"),
    text("assistant", "REPLY"),
    text("user", "AGAIN"),
)
CALL, RESULT = calling("a"), result("a")

CASES: Mapping[str, Sequence[Message]] = {
    "plain": [SYSTEM, USER, REPLY, AGAIN],
    "user in parts": [text("user", "ONE", "TWO")],
    "system in parts": [text("system", "ONE", "TWO"), USER],
    "reply in parts": [USER, text("assistant", "ONE", "TWO"), AGAIN],
    "late system": [USER, text("system", "LATE"), AGAIN],
    "two systems": [SYSTEM, USER, REPLY, text("system", "LATE"), AGAIN],
    "late system in parts": [SYSTEM, USER, REPLY, text("system", "ONE", "TWO"), AGAIN],
    "developer": [text("developer", "SYSTEM"), USER, text("developer", "LATE"), AGAIN],
    "two users": [USER, AGAIN],
    "two replies": [USER, REPLY, text("assistant", "MORE"), AGAIN],
    "call": [SYSTEM, USER, CALL, RESULT],
    "call, short id": [SYSTEM, USER, calling("a", ids="abcdefgh"), result("a", ids="abcdefgh")],
    "text beside a call": [SYSTEM, USER, calling("a", beside="BESIDE"), RESULT],
    "result in a part": [USER, CALL, {**RESULT, "content": [{"type": "text", "text": "RESULT"}]}],
    "result in parts": [USER, CALL, result("a", "ONE", "TWO")],
    "call, then an answer": [SYSTEM, USER, CALL, RESULT, REPLY, AGAIN],
    "call, then the user": [SYSTEM, USER, CALL, RESULT, AGAIN],
    "calls in a row": [SYSTEM, USER, CALL, RESULT, calling("b"), result("b")],
    "parallel calls": [SYSTEM, USER, calling("a", "b"), RESULT, result("b")],
    "parallel calls, then an answer": [
        *[SYSTEM, USER, calling("a", "b", beside="BESIDE"), RESULT, result("b"), REPLY, AGAIN]
    ],
    "parallel calls, one result": [SYSTEM, USER, calling("a", "b"), RESULT],
    "assistant first": [REPLY, USER],
    "system, assistant first": [SYSTEM, REPLY, USER],
    "call first": [CALL, RESULT, REPLY, USER],
    "system, call first": [SYSTEM, CALL, RESULT],
    "result first": [RESULT, REPLY, USER],
    "system, result first": [SYSTEM, RESULT, REPLY, USER],
    "lone system": [SYSTEM],
    "lone system in parts": [text("system", "ONE", "TWO")],
    "lone reply": [SYSTEM, REPLY],
    "nothing": [],
}

# A history to be cut anywhere.
HISTORY: Sequence[Message] = [
    SYSTEM,
    USER,
    calling("a", "b", beside="BESIDE"),
    RESULT,
    result("b", "ONE", "TWO"),
    REPLY,
    AGAIN,
    calling("c"),
    result("c"),
    text("assistant", "LAST"),
]


def outcome(model: TextModel, messages: Sequence[Message], tools: bool, *, fit: bool) -> Outcome:
    """What the model would read of a conversation.

    Args:
        model: its server renders the conversation.
        messages: the conversation.
        tools: with tools in the request.
        fit: as it is sent; else as it is given.
    """
    try:
        sent = model.template.fit(messages, tools=tools) if fit else messages
    except ConfigError:
        return "refused"
    try:
        prompt = render(model, sent, tools)
    except RocmError:
        return "error"
    if not _in_order(prompt, messages):
        return "dropped"
    return "shown" if sent == messages else "repaired"


def render(model: TextModel, messages: Sequence[Message], tools: bool = False) -> str:
    """The prompt that the server makes of these messages."""

    def steps() -> RequestSteps[str]:
        yield Ready(model.deadline())
        fields = {"tools": TOOLS} if tools else {}
        prompt: str = yield calls.apply_template(messages, **fields)
        return prompt

    return run_steps(steps(), Sender(lambda: model.connection).perform)


def _in_order(prompt: str, messages: Sequence[Message]) -> bool:
    """Whether all is there, and the texts of the conversation in their order."""
    found = 0
    for message in messages:
        for name in _texts(message):
            if message["role"] in {"system", "developer"}:
                if name not in prompt:
                    return False
                continue
            if (found := prompt.find(name, found)) < 0:
                return False
        if not all(name in prompt for name in _of_calls(message)):
            return False
    return True


def _texts(message: Message) -> list[str]:
    content = message["content"]
    return [content] if isinstance(content, str) else [part["text"] for part in content]


def _of_calls(message: Message) -> Iterator[str]:
    for made in message.get("tool_calls", ()):
        yield made["function"]["name"]
        yield from json.loads(made["function"]["arguments"]).values()
