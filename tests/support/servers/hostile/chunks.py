"""A chat's chunks with any JSON value in any of their fields."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from tests.support.servers.fake_server import stream
from tests.support.servers.hostile import TEXT, Case

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7,
    "a negative number": -1,
    "a fraction": 1.5,
    "a huge number": 10**30,
    "an empty text": "",
    "a text": "x",
    "half a character": "\ud83d",
    "an empty list": [],
    "a list": [1, None],
    "a list of objects": [{"id": []}],
    "an empty object": {},
    "an object": {"a": [1]},
}

Path = tuple[str | int, ...]

# Which chunk, and where in it.
FIELDS: dict[str, tuple[int, Path]] = {
    "choices": (1, ("choices",)),
    "choice": (1, ("choices", 0)),
    "choice index": (1, ("choices", 0, "index")),
    "delta": (1, ("choices", 0, "delta")),
    "content": (1, ("choices", 0, "delta", "content")),
    "role": (0, ("choices", 0, "delta", "role")),
    "reasoning_content": (1, ("choices", 0, "delta", "reasoning_content")),
    "reasoning": (1, ("choices", 0, "delta", "reasoning")),
    "text": (1, ("choices", 0, "text")),
    "message": (1, ("choices", 0, "message")),
    "tool_calls": (1, ("choices", 0, "delta", "tool_calls")),
    "call": (2, ("choices", 0, "delta", "tool_calls", 0)),
    "call index": (2, ("choices", 0, "delta", "tool_calls", 0, "index")),
    "call id": (2, ("choices", 0, "delta", "tool_calls", 0, "id")),
    "call type": (2, ("choices", 0, "delta", "tool_calls", 0, "type")),
    "function": (2, ("choices", 0, "delta", "tool_calls", 0, "function")),
    "function name": (2, ("choices", 0, "delta", "tool_calls", 0, "function", "name")),
    "arguments": (2, ("choices", 0, "delta", "tool_calls", 0, "function", "arguments")),
    "finish_reason": (3, ("choices", 0, "finish_reason")),
    "logprobs": (1, ("choices", 0, "logprobs")),
    "logprobs content": (1, ("choices", 0, "logprobs", "content")),
    "token": (1, ("choices", 0, "logprobs", "content", 0, "token")),
    "token id": (1, ("choices", 0, "logprobs", "content", 0, "id")),
    "logprob": (1, ("choices", 0, "logprobs", "content", 0, "logprob")),
    "token bytes": (1, ("choices", 0, "logprobs", "content", 0, "bytes")),
    "top_logprobs": (1, ("choices", 0, "logprobs", "content", 0, "top_logprobs")),
    "usage": (4, ("usage",)),
    "prompt_tokens": (4, ("usage", "prompt_tokens")),
    "completion_tokens": (4, ("usage", "completion_tokens")),
    "prompt_tokens_details": (4, ("usage", "prompt_tokens_details")),
    "cached_tokens": (4, ("usage", "prompt_tokens_details", "cached_tokens")),
    "timings": (4, ("timings",)),
    "predicted_ms": (4, ("timings", "predicted_ms")),
    "model": (3, ("model",)),
    "id": (1, ("id",)),
    "created": (1, ("created",)),
    "object": (1, ("object",)),
    "error": (1, ("error",)),
    "stop": (1, ("stop",)),
}
# Nothing is read of these: whatever they hold, the answer is right.
UNREAD = ("role", "call type", "id", "created", "object")


def _chunks() -> list[dict[str, Any]]:
    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
        return {"id": "chat-1", "model": "m", "created": 1, "object": "x", "choices": [choice]}

    entry = {"id": 5, "token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    call = {"index": 0, "id": "c", "type": "function"}
    call["function"] = {"name": "add", "arguments": '{"a": 1}'}
    details = {"cached_tokens": 2}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": details}
    first, second = TEXT.split(" ")
    return [
        chunk({"role": "assistant", "content": None}),
        chunk({"content": first}, logprobs={"content": [entry]}),
        chunk({"content": f" {second}", "tool_calls": [call]}),
        chunk({}, "tool_calls"),
        {**chunk({}), "choices": [], "usage": usage, "timings": {"predicted_ms": 1.5}},
    ]


def with_value(field: str, value: Any) -> bytes:
    """The stream whose field has this value."""
    chunks = copy.deepcopy(_chunks())
    number, (*path, last) = FIELDS[field]
    target: Any = chunks[number]
    for part in path:
        target = target[part]
    target[last] = value
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return b"".join([*lines, b"data: [DONE]\n\n"])


def cases() -> Iterator[tuple[str, list[Case]]]:
    """For each field the cases of all values."""
    for field in FIELDS:
        says = TEXT if field in UNREAD else None
        yield (
            field,
            [
                Case(f"{field}: {name}", stream(with_value(field, value)), says)
                for name, value in VALUES.items()
            ],
        )
