"""The task: one tool, another tool, then the answer. What the server says in each step. Pure.

The step is the number of tool results in the request, so nothing has to be remembered. Events have
the form of ``tests/support/captures/chat_stream_tools.b11434.txt``; the answer is that of the other
measures.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from benchmarks.script import ollama_lines, writes

CALLS = (
    ("get_weather", '{"city": "Oslo", "days": 3}'),
    ("get_time", '{"zone": "Europe/Oslo"}'),
)
STEPS = len(CALLS) + 1
_PIECE = 4
_COMMON = {"created": 1795222491, "id": "chatcmpl-1", "model": "demo"}
_FACTS = {"usage": {"prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30}}


def step_of(messages: list[dict[str, Any]]) -> int:
    """Which step a request begins."""
    return sum(message.get("role") == "tool" for message in messages)


def argument_pieces(step: int) -> list[str]:
    """The arguments of a step's call as the model writes them."""
    text = CALLS[step][1]
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


@functools.lru_cache
def step_writes(step: int, chunks: int) -> list[bytes]:
    """What the server writes in a step; ``chunks``: pieces of the answer."""
    if step >= len(CALLS):
        return writes(chunks)
    name = CALLS[step][0]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
    for number, piece in enumerate(argument_pieces(step)):
        call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
        if not number:
            call |= {"id": f"call{step}", "type": "function"}
            call["function"]["name"] = name
        deltas.append({"tool_calls": [call]})
    choices: list[dict[str, Any]] = [
        {"finish_reason": None, "index": 0, "delta": delta} for delta in deltas
    ]
    choices.append({"finish_reason": "tool_calls", "index": 0, "delta": {}})
    events: list[dict[str, Any]] = [{"choices": [choice], **_COMMON} for choice in choices]
    events.append({"choices": [], **_COMMON, **_FACTS})
    payloads = [*(json.dumps(event).encode() for event in events), b"[DONE]"]
    return [b"data: %b\n\n" % payload for payload in payloads]


@functools.lru_cache
def ollama_step(step: int, chunks: int) -> list[bytes]:
    """``step_writes`` in Ollama's dialect, in which a call comes whole."""
    if step >= len(CALLS):
        return ollama_lines(chunks)
    name, arguments = CALLS[step]
    call = {"function": {"name": name, "arguments": json.loads(arguments)}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    first, *_, end = ollama_lines(1)
    return [json.dumps({**json.loads(first), "message": message}).encode() + b"\n", end]


def rendered(messages: list[dict[str, Any]]) -> bytes:
    """The answer of ``POST /apply-template`` with a template that shows all of a conversation."""
    return json.dumps({"prompt": json.dumps(messages, ensure_ascii=False)}).encode()
