"""How a conversation becomes text: the Python twin of ``template.jinja``.

Training needs more than the text: it must know which characters the model itself would write.
So this module renders a conversation as a list of pieces, each marked "to be learned" or not.
``evaluate`` compares it with what llama.cpp makes of the template, character by character.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Message = Mapping[str, Any]
Piece = tuple[str, bool]

TEMPLATE = Path(__file__).with_name("template.jinja")

END = "<|im_end|>"
NO_THOUGHT = "<think>\n\n</think>\n\n"
"""What opens an answer when the thinking switch is off."""


def to_json(value: object) -> str:
    """JSON as the template's ``tojson`` filter writes it."""
    return json.dumps(value, ensure_ascii=False)


def signature(tool: Mapping[str, Any]) -> str:
    """One line for a tool: ``name(argument: type, other?: type) - description``."""
    function = tool["function"]
    parameters = function.get("parameters") or {}
    required = parameters.get("required") or []
    arguments = [
        f"{name}{'' if name in required else '?'}: {_kind(schema)}"
        for name, schema in (parameters.get("properties") or {}).items()
    ]
    line = f"{function['name']}({', '.join(arguments)})"
    if description := function.get("description"):
        line += f" - {description}"
    return line


def _kind(schema: Mapping[str, Any]) -> str:
    if choices := schema.get("enum"):
        return "|".join(choices)
    return str(schema.get("type") or "any")


def tool_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as the model writes it."""
    inside = f'{{"name": "{name}", "arguments": {to_json(arguments)}}}'
    return f"<tool_call>\n{inside}\n</tool_call>"


def answer_text(message: Message) -> str:
    """What the model writes for an assistant message, without its end mark."""
    calls = [
        tool_call(call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    content = message.get("content") or ""
    thought = message.get("reasoning_content")
    opening = f"<think>\n{thought}\n</think>\n\n" if thought else ""
    return opening + "\n".join(part for part in (content, *calls) if part)


def render(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = (), thinking: bool = True
) -> list[Piece]:
    """The pieces of a conversation that ends with the assistant's message.

    An assistant message may bring ``learn: False`` (history only), or ``pieces``: its text, cut
    up by hand, for answers of which only parts are to be learned.
    """
    pieces: list[Piece] = []
    if tools:
        lines = "\n".join(signature(tool) for tool in tools)
        pieces.append((f"<|im_start|>tools\n{lines}{END}\n", False))
    for index, message in enumerate(messages):
        pieces.append((f"<|im_start|>{message['role']}\n", False))
        if message["role"] != "assistant":
            pieces.append((f"{message['content']}{END}\n", False))
            continue
        if index == len(messages) - 1 and not thinking:
            pieces.append((NO_THOUGHT, False))
        learn = message.get("learn", True)
        body = message.get("pieces") or [(answer_text(message), learn)]
        pieces += [*body, (END, learn), ("\n", False)]
    return pieces


def prompt(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = (), thinking: bool = True
) -> str:
    """The text that the engine must make of ``messages``, up to where the model goes on."""
    asked = [*messages, {"role": "assistant", "pieces": [("", True)]}]
    pieces = render(asked, tools, thinking)
    return "".join(text for text, _ in pieces[:-2])
