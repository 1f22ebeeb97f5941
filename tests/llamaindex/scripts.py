"""Answers of a scripted llama-server: streams that say and call what a test wants."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from tests.fake_server import STALL, FakeServer, Reply, answer, stream

CHAT = "/v1/chat/completions"
USAGE = {"completion_tokens": 7, "prompt_tokens": 21, "total_tokens": 28}
_ids = itertools.count(1)


def say(text: str) -> list[dict[str, Any]]:
    """Text, a word at a time."""
    words = text.split(" ")
    return [{"content": word if n == 0 else f" {word}"} for n, word in enumerate(words)]


def think(text: str) -> list[dict[str, Any]]:
    """Reasoning, a word at a time."""
    return [{"reasoning_content": delta["content"]} for delta in say(text)]


def call(name: str, /, *, index: int = 0, step: int = 3, **arguments: Any) -> list[dict[str, Any]]:
    """A tool call, its arguments ``step`` characters at a time."""
    return raw_call(name, json.dumps(arguments, ensure_ascii=False), index=index, step=step)


def raw_call(
    name: str, text: str, *, index: int = 0, step: int = 4, id_: str | None = None
) -> list[dict[str, Any]]:
    """A tool call with any text for arguments."""
    pieces = [text[at : at + step] for at in range(0, len(text), step)] or [""]
    first = {
        "index": index,
        "id": f"id-{next(_ids)}" if id_ is None else id_,
        "type": "function",
        "function": {"name": name, "arguments": pieces[0]},
    }
    others = [{"index": index, "function": {"arguments": piece}} for piece in pieces[1:]]
    return [{"tool_calls": [part]} for part in (first, *others)]


def chat(*parts: Iterable[dict[str, Any]], finish: str | None = None) -> Reply:
    """The stream of these deltas, with its end, usage and end marker."""
    deltas = [delta for part in parts for delta in part]
    finish = finish or ("tool_calls" if any("tool_calls" in d for d in deltas) else "stop")
    chunks: list[dict[str, Any]] = [_chunk({"role": "assistant", "content": None})]
    chunks += [_chunk(delta) for delta in deltas]
    chunks.append(_chunk({}, finish))
    chunks.append({**_chunk({}), "choices": [], "usage": USAGE})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return stream("".join([*lines, "data: [DONE]\n\n"]).encode())


def unfinished(*parts: Iterable[dict[str, Any]]) -> Reply:
    """A stream that sends these deltas and then nothing more."""
    deltas = [delta for part in parts for delta in part]
    lines = [f"data: {json.dumps(_chunk(delta))}\n\n".encode() for delta in deltas]
    return Reply([*lines, STALL], content_type="text/event-stream", chunked=True)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "choices": [{"finish_reason": finish, "index": 0, "delta": delta}],
        "created": 1795222491,
        "id": "chatcmpl-1",
        "model": "scripted",
        "object": "chat.completion.chunk",
    }


def script(server: FakeServer, *replies: Reply) -> None:
    """Answer chats with these in turn."""
    server.script("/props", answer("props.b11434"))
    server.script(CHAT, *replies)


def sent(server: FakeServer) -> list[dict[str, Any]]:
    """The bodies of the chat requests, in order."""
    return [request.body for request in server.requests if request.path == CHAT]
