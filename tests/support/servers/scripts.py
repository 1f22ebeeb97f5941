"""Generation of a scripted llama-server: streams that say and call what a test wants.

    script(server, chat(say("Hi"), call("add", a=2)))    these, one after the other
    with authored(author) as server: ...                 what a function says to each request

For bytes that no healthy server sends, and for words that no small model would find.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.servers.fake_server import (
    STALL,
    FakeServer,
    Reply,
    Request,
    answer,
    capture,
    stream,
)

Body = dict[str, Any]
# What an answer says to a request: text, thoughts and calls, as a message of the API.
Author = Callable[[Body], Body]

CHAT = "/v1/chat/completions"
USAGE = {
    "completion_tokens": 7,
    "prompt_tokens": 21,
    "total_tokens": 28,
    "prompt_tokens_details": {"cached_tokens": 4},
}
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


def chat(
    *parts: Iterable[dict[str, Any]], finish: str | None = None, model: str = "scripted"
) -> Reply:
    """The stream of these deltas, with its end, usage, timings and end marker."""
    deltas = [delta for part in parts for delta in part]
    finish = finish or ("tool_calls" if any("tool_calls" in d for d in deltas) else "stop")
    chunks: list[dict[str, Any]] = [_chunk({"role": "assistant", "content": None})]
    chunks += [_chunk(delta) for delta in deltas]
    chunks.append(_chunk({}, finish))
    timings = {"predicted_n": USAGE["completion_tokens"]}
    chunks.append({**_chunk({}), "choices": [], "usage": USAGE, "timings": timings})
    lines = [f"data: {json.dumps(chunk | {'model': model})}\n\n" for chunk in chunks]
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
        "object": "chat.completion.chunk",
    }


def script(server: FakeServer, *replies: Reply) -> None:
    """Answer chats with these in turn."""
    server.script("/props", answer("props.b11434"))
    server.script(CHAT, *replies)


@contextmanager
def authored(author: Author, props: Body | None = None) -> Iterator[FakeServer]:
    """A server whose chats ``author`` answers; ``props`` are added to its facts."""

    def reply(request: Request) -> Reply:
        message, model = author(request.body), request.body.get("model", "scripted")
        return chat(*_parts(message), finish=message.get("finish_reason"), model=model)

    with FakeServer() as server:
        facts = json.loads(capture("props.b11434")) | (props or {})
        server.script("/props", answer(json.dumps(facts).encode()))
        server.script(CHAT, reply)
        yield server


def _parts(message: Body) -> Iterator[list[dict[str, Any]]]:
    if thought := message.get("reasoning_content"):
        yield think(thought)
    if text := message.get("content"):
        yield say(text)
    for index, made in enumerate(message.get("tool_calls", ())):
        args = made["args"]
        text = args if isinstance(args, str) else json.dumps(args, ensure_ascii=False)
        yield raw_call(made["name"], text, index=index, id_=f"id-{index}")


def sent(server: FakeServer) -> list[dict[str, Any]]:
    """The bodies of the chat requests, in order."""
    return [request.body for request in server.requests if request.path == CHAT]
