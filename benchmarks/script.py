"""What the scripted server says: the real bytes of llama-server, as long as one likes. Pure.

    role delta, N text events, finish reason, usage and timings, [DONE]

Every event is one of ``tests/support/captures/chat_stream.b11434.txt``; its text events repeat in
turn. As llama-server does, the first write holds the role and the first text, each further one
an event, the last but one the finish reason and the usage.
"""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path

_CAPTURES = Path(__file__).parent.parent / "tests" / "support" / "captures"


def capture(name: str) -> bytes:
    """The body of a real answer of llama-server."""
    return (_CAPTURES / f"{name}.b11434.txt").read_bytes()


def props(body: bytes, slots: int) -> bytes:
    """The facts of a server with so many slots, 0 for as many as anybody asks for.

    Ours sends no more requests at once than there are slots.
    """
    return json.dumps({**json.loads(body), "total_slots": slots or 100_000}).encode()


@functools.lru_cache
def writes(chunks: int) -> list[bytes]:
    """What the server writes, at least one piece of text: one write each, then two for the end."""
    role, first, *texts, finish, usage, done = capture("chat_stream").split(b"\n\n")[:-1]
    more = itertools.islice(itertools.cycle((*texts, first)), chunks - 1)
    groups = ((role, first), *((text,) for text in more), (finish, usage), (done,))
    return [b"".join(event + b"\n\n" for event in group) for group in groups]


@functools.lru_cache
def pieces(chunks: int) -> list[str]:
    """The same answer's pieces of text."""
    texts = (write.split(b"data: ")[-1] for write in writes(chunks)[:chunks])
    return [text_of(payload) or "" for payload in texts]


def text_of(payload: str | bytes) -> str | None:
    """The text in one JSON payload, read as a program without any library would."""
    choices = json.loads(payload)["choices"]
    text: str | None = choices[0]["delta"].get("content") if choices else None
    return text


@functools.lru_cache
def ollama_lines(chunks: int) -> list[bytes]:
    """The same answer in Ollama's dialect (from its API documentation, not captured)."""
    start = {"model": "demo", "created_at": "2026-11-20T12:00:00.000000000Z"}
    counts = {"total_duration": 2, "eval_count": chunks, "prompt_eval_count": 21}
    lines = [
        start | {"message": {"role": "assistant", "content": piece}, "done": False}
        for piece in pieces(chunks)
    ]
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return [json.dumps(line).encode() + b"\n" for line in (*lines, start | end | counts)]
