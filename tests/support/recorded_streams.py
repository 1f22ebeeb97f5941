"""What the captured generation streams say, and the decoder fed with them or made-up events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from rocm_core.client.stream.events import StreamDecoder
from rocm_core.errors import RocmError
from rocm_core.types import StreamEvent, Usage

DONE = b"data: [DONE]\n\n"
# Tokens and milliseconds of prefill, the same of decode, and tokens from the cache.
Measured = tuple[int, float, int, float, int]


@dataclass(frozen=True)
class Said:
    """What a whole stream says."""

    text: str
    finish: str | None = None
    ids: tuple[int, ...] = ()
    usage: Usage | None = None
    timings: Measured | None = None
    model: str | None = "demo.gguf"


DEMO = "Hello! I am the small demo"
STREAMS = {
    "chat_stream": Said(f"{DEMO} model", "stop", (), Usage(21, 8, 0), (21, 0.684, 8, 1.794, 0)),
    "chat_stream_length": Said(DEMO, "length", timings=(1, 0.282, 6, 0.992, 20)),
    "chat_stream_logprobs": Said(
        "Hello! I am", "length", (260, 261, 262), timings=(1, 0.374, 3, 0.624, 20)
    ),
    "chat_stream_n2": Said(
        "Hello!Hello! I I am am",
        "length",
        usage=Usage(21, 3, 20),
        timings=(1, 0.618, 3, 1.054, 20),
    ),
    "chat_stream_progress": Said("Hello! I am the", "length", timings=(169, 2.613, 4, 0.817, 0)),
    "chat_stream_reasoning": Said(
        "Hi there ✓",
        "stop",
        (),
        Usage(21, 10, 0),
        (21, 0.583, 10, 0.905, 0),
        "think.gguf",
    ),
    "chat_stream_timings": Said("Hello! I am", "length", timings=(1, 0.29, 3, 0.431, 20)),
    "chat_stream_tools": Said(
        "Let me look.\n",
        "tool_calls",
        (),
        Usage(521, 23, 0),
        (521, 7.266, 23, 4.717, 0),
        "tools.gguf",
    ),
    "chat_stream_tools_cut": Said(
        "Let me look.\n",
        "length",
        timings=(1, 0.744, 9, 1.517, 520),
        model="tools.gguf",
    ),
    "completion_stream": Said(
        " llama-rocm — but these few sentences",
        "length",
        (287, 288, 289, 290, 291, 292),
        Usage(1, 6, 0),
        (1, 0.293, 6, 0.691, 0),
    ),
    "completion_stream_eos": Said(
        '"path/to/model.gguf".',
        "stop",
        (311, 312, 313, 314, 258),
        Usage(1, 5, 0),
        (1, 0.266, 5, 0.461, 0),
    ),
    "completion_stream_probs": Said(
        "Hello! I", "length", (260, 261), Usage(2, 2, 1), (1, 0.339, 2, 0.185, 1)
    ),
    "completion_stream_progress": Said(
        "Hello! I", "length", (260, 261), Usage(140, 2, 0), (140, 1.543, 2, 0.201, 0)
    ),
    "completion_stream_stop": Said(
        "Hello! I am the ",
        "stop",
        (260, 261, 262, 263, 264, 265),
        Usage(2, 6, 0),
        (2, 0.278, 6, 0.803, 0),
    ),
    "v1_completions_stream": Said(DEMO, "length", (), Usage(2, 6, 1), (1, 0.332, 6, 0.604, 1)),
}
FAILED = {
    "chat_stream_error.b11434": f"{DEMO} model bundled with llama-rocm. Real llama.cpp code "
    "computed this answer token by token, and it was streamed to you",
    "chat_stream_error_old.derived": "Hello! I am",
}
WHOLE = [*(f"{name}.b11434" for name in STREAMS), "chat_stream_ping.derived"]


def read(pieces: Iterable[bytes]) -> tuple[list[StreamEvent], RocmError | None]:
    """The events, and the error they ended with."""
    decoder = StreamDecoder()
    events: list[StreamEvent] = []
    try:
        for piece in pieces:
            events.extend(decoder.feed(piece))
        events.extend(decoder.close())
    except RocmError as error:
        return events, error
    return events, None


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def text_event(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
