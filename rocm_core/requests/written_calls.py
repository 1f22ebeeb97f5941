"""Write tool calls into an assistant's text, in the notation that the model itself uses. Pure.

Some models call tools and have a template that prints an assistant's text and nothing else: their
publishers put earlier calls into the text as the model wrote them. llama-server reads the calls out
of the answer, and the template drops them from the history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_BAR = "\N{FULLWIDTH VERTICAL LINE}"
_DEEPSEEK = f"<{_BAR}tool▁calls▁begin{_BAR}>"
Write = Callable[[Sequence[Mapping[str, Any]]], str]


def call_notation(template: str) -> Write | None:
    """Return how the model of this template writes calls; ``None`` if that is not known.

    Args:
        template: the Jinja text.
    """
    return next((write for mark, write in _NOTATIONS if mark in template), None)


def in_text(message: Mapping[str, Any], write: Write) -> dict[str, Any]:
    """Return an assistant's message with its calls at the end of its text."""
    written = write(message["tool_calls"])
    before = message.get("content") or ""
    if isinstance(before, str):
        content: Any = f"{before}\n{written}" if before else written
    else:
        content = [*before, {"type": "text", "text": written}]
    rest = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**rest, "content": content}


def _of(call: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = None
    return str(function["name"]), dict(arguments) if isinstance(arguments, Mapping) else {}


def _lfm2(calls: Sequence[Mapping[str, Any]]) -> str:
    written = [
        f"{name}({', '.join(f'{key}={_python(value)}' for key, value in arguments.items())})"
        for name, arguments in map(_of, calls)
    ]
    return f"<|tool_call_start|>[{', '.join(written)}]<|tool_call_end|>"


def _python(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_json(str(k))}: {_python(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_python, value)) + "]"
    return _json(value) if isinstance(value, str) else repr(value)


def _granite(calls: Sequence[Mapping[str, Any]]) -> str:
    written = [{"name": name, "arguments": arguments} for name, arguments in map(_of, calls)]
    return f"<|tool_call|>{_json(written)}"


def _deepseek(calls: Sequence[Mapping[str, Any]]) -> str:
    begin, between, end = (f"<{_BAR}tool▁{w}{_BAR}>" for w in ("call▁begin", "sep", "call▁end"))
    written = "\n".join(
        f"{begin}function{between}{name}\n```json\n{_json(arguments)}\n```{end}"
        for name, arguments in map(_of, calls)
    )
    return f"{_DEEPSEEK}{written}<{_BAR}tool▁calls▁end{_BAR}>"


def _hermes(calls: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"<tool_call>\n{_json({'name': name, 'arguments': arguments})}\n</tool_call>"
        for name, arguments in map(_of, calls)
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# A mark in the template's text, and the notation of its models: that which llama-server reads in
# their answers (``common/chat.cpp``: LFM2; ``common/chat-auto-parser``: the others).
_NOTATIONS: tuple[tuple[str, Write], ...] = (
    ("<|tool_list_start|>", _lfm2),
    ("List of tools: [", _lfm2),
    ("<|tool_call|>", _granite),
    (_DEEPSEEK, _deepseek),
    ("<tool_call>", _hermes),
)
