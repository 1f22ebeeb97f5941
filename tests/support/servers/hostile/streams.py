"""Streams of a form of their own, right or wrong; and answers that are no stream."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

from rocm_core.errors import (
    GenerationError,
    HTTPStatusError,
    ProtocolError,
    ServerBusy,
    StreamInterrupted,
)
from tests.support.servers.fake_server import Reply, answer, stream
from tests.support.servers.hostile import TEXT, Case

DONE = b"data: [DONE]\n\n"


def event(**raw: Any) -> bytes:
    """One event."""
    return b"data: %b\n\n" % json.dumps(raw).encode()


def piece(text: str | None, index: int = 0, finish: str | None = None, **delta: Any) -> bytes:
    """One event with a piece of an answer."""
    delta = {"content": text, **delta} if text is not None else delta
    return event(choices=[{"index": index, "delta": delta, "finish_reason": finish}])


HELLO, WORLD, END = piece("Hello"), piece(" world"), piece(None, finish="stop")
WHOLE = HELLO + WORLD + END + DONE


def call(arguments: Any, **fields: Any) -> bytes:
    """One event with a call of ``add``."""
    part = {"index": 0, "id": "c", "function": {"name": "add", "arguments": arguments}, **fields}
    return piece(None, tool_calls=[part])


def message(**more: Any) -> dict[str, Any]:
    """An answer that is no stream."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": TEXT, **more}}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


_RIGHT: dict[str, bytes] = {
    "as it should be": WHOLE,
    "a comment before": b": ping\n\n" + WHOLE,
    "comments between": HELLO + b": ping\n\n:\n\n" + WORLD + END + DONE,
    "data without a value": HELLO + b"data:\n\ndata: \n\n" + WORLD + END + DONE,
    "an empty object": HELLO + b"data: {}\n\n" + WORLD + END + DONE,
    "empty objects alone in a read": b"data: {}\n\n" * 40 + WHOLE,
    "a blank after the end marker": HELLO + WORLD + END + b"data: [DONE] \n\n",
    "blanks around the end marker": HELLO + WORLD + END + b"data:  [DONE]  \n\n",
    "no blank after data": WHOLE.replace(b"data: ", b"data:"),
    "carriage returns": WHOLE.replace(b"\n", b"\r\n"),
    "carriage returns alone": WHOLE.replace(b"\n", b"\r"),
    "event names and ids": WHOLE.replace(b"data:", b"event: message\nid: 1\nretry: 5\ndata:"),
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "no empty line after the end marker": WHOLE[:-1],
    "nothing after the end marker's brackets": WHOLE[:-2],
    "something after the end marker": WHOLE + b"data: rubbish\n\n",
    "two end markers": WHOLE + DONE,
    "no choices": HELLO + event(choices=[]) + WORLD + END + DONE,
    "choices null": HELLO + event(choices=None, usage={"prompt_tokens": 1}) + WORLD + END + DONE,
    "usage null in each": WHOLE.replace(b'{"choices"', b'{"usage": null, "choices"'),
    "timings null in each": WHOLE.replace(b'{"choices"', b'{"timings": null, "choices"'),
    "error null in each": WHOLE.replace(b'{"choices"', b'{"error": null, "choices"'),
    "error empty in each": WHOLE.replace(b'{"choices"', b'{"error": "", "choices"'),
    "logprobs null": WHOLE.replace(b'"index"', b'"logprobs": null, "index"'),
    "no index": WHOLE.replace(b'"index": 0, ', b""),
    "index null": WHOLE.replace(b'"index": 0', b'"index": null'),
    "usage in texts": HELLO + WORLD + END + event(choices=[], usage={"prompt_tokens": "3"}) + DONE,
    "usage of nulls": HELLO
    + WORLD
    + END
    + event(choices=[], usage={"prompt_tokens": None, "prompt_tokens_details": None})
    + DONE,
    "usage before the end": HELLO
    + event(choices=[], usage={"prompt_tokens": 3})
    + WORLD
    + END
    + DONE,
    "the end with the last piece": HELLO + piece(" world", finish="stop") + DONE,
    "another answer between": HELLO + piece("Bye", 1) + WORLD + piece(" moon", 1) + END + DONE,
    "another answer first": piece("Bye", 1) + HELLO + piece(None, 1, "stop") + WORLD + END + DONE,
    "two answers in one event": event(
        choices=[
            {"index": 0, "delta": {"content": "Hello"}},
            {"index": 1, "delta": {"content": "Bye"}},
        ]
    )
    + WORLD
    + END
    + DONE,
    "two answers in one event, in another order": event(
        choices=[
            {"index": 1, "delta": {"content": "Bye"}},
            {"index": 0, "delta": {"content": "Hello"}},
        ]
    )
    + WORLD
    + END
    + DONE,
    "text completion's form": event(choices=[{"text": "Hello"}])
    + event(choices=[{"text": " world", "finish_reason": "stop"}])
    + DONE,
    "native form": event(content="Hello", stop=False)
    + event(content=" world", stop=True, stop_type="eos", tokens_predicted=2, tokens_evaluated=1),
    "a message in an event": event(**message()) + DONE,
}
_CALLS: dict[str, tuple[bytes, Any]] = {
    "arguments as an object": (call({"a": 1}), {"a": 1}),
    "arguments as an empty object": (call({}), {}),
    "arguments null": (call(None), {}),
    "arguments as a text": (call('{"a": 1}'), {"a": 1}),
    "arguments in two": (
        call('{"a"') + piece(None, tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        {"a": 1},
    ),
    "a numeric id": (call('{"a": 1}', id=7), {"a": 1}),
    "no id": (call('{"a": 1}', id=None), {"a": 1}),
    "an index as a text": (call('{"a": 1}', index="0"), {"a": 1}),
    "no index": (call('{"a": 1}', index=None), {"a": 1}),
}
_WRONG: dict[str, tuple[bytes, tuple[type[Any], ...]]] = {
    "nothing": (b"", (StreamInterrupted,)),
    "no end marker": (HELLO + WORLD + END, (StreamInterrupted,)),
    "half an event": (HELLO + WORLD[:-20], (ProtocolError,)),
    "pings alone": (b": ping\n\n" * 20, (StreamInterrupted,)),
    "heartbeats alone": (b"data: {}\n\ndata:\n\n" * 20, (StreamInterrupted,)),
    "no JSON": (HELLO + b"data: rubbish\n\n" + DONE, (ProtocolError,)),
    "zeros": (HELLO + b"data: \x00\x00\n\n" + DONE, (ProtocolError,)),
    "a list": (HELLO + b"data: []\n\n" + DONE, (ProtocolError,)),
    "a number": (HELLO + b"data: 7\n\n" + DONE, (ProtocolError,)),
    "null": (HELLO + b"data: null\n\n" + DONE, (ProtocolError,)),
    "a text": (HELLO + b'data: "x"\n\n' + DONE, (ProtocolError,)),
    "a line of another grammar": (HELLO + b"Hello world\n\n" + DONE, (ProtocolError,)),
    "an error": (HELLO + event(error={"message": "bad", "code": 500}) + DONE, (GenerationError,)),
    "an error as text": (HELLO + event(error="bad") + DONE, (GenerationError,)),
    "an error as list": (HELLO + event(error=["bad"]) + DONE, (HTTPStatusError,)),
    "an error of busy": (event(error={"message": "busy", "code": 429}) + DONE, (ServerBusy,)),
    "an old error line": (HELLO + b'error: {"message": "bad"}\n\n' + DONE, (GenerationError,)),
    "unknown object": (HELLO + event(type="ping") + DONE, (ProtocolError,)),
    "arguments as a list": (call([1]) + END + DONE, (ProtocolError,)),
    "arguments as a number": (call(5) + END + DONE, (ProtocolError,)),
    "index in words": (call("{}", index="one") + END + DONE, (ProtocolError,)),
}


def _packed(data: bytes, coding: str) -> Reply:
    packed = gzip.compress(data) if "gzip" in coding else zlib.compress(data)
    return Reply([packed], headers={"Content-Encoding": coding}, content_type="text/event-stream")


def cases() -> Iterator[tuple[str, list[Case]]]:
    """The cases by their kind."""
    yield "right", [Case(name, stream(data), TEXT) for name, data in _RIGHT.items()]
    yield (
        "right, byte by byte",
        [Case(name, stream(data, every=7), TEXT) for name, data in _RIGHT.items()],
    )
    yield (
        "calls",
        [
            Case(name, stream(data + END + DONE), "", calls=(("add", arguments),))
            for name, (data, arguments) in _CALLS.items()
        ],
    )
    yield (
        "wrong",
        [Case(name, stream(data), raises=errors) for name, (data, errors) in _WRONG.items()],
    )
    whole = json.dumps(message()).encode()
    tools = [{"id": 1, "function": {"name": "add", "arguments": {"a": 1}}}]
    yield (
        "no stream",
        [
            Case("a plain answer", answer(whole), TEXT),
            Case(
                "a plain answer over lines", answer(json.dumps(message(), indent=2).encode()), TEXT
            ),
            Case("called a stream", stream(whole), TEXT),
            Case("in pieces", stream(whole, every=9), TEXT),
            Case(
                "thoughts null", answer(json.dumps(message(reasoning_content=None)).encode()), TEXT
            ),
            Case(
                "a plain call",
                answer(json.dumps(message(content=None, tool_calls=tools)).encode()),
                "",
                calls=(("add", {"a": 1}),),
            ),
            Case(
                "a plain text completion",
                answer(b'{"choices": [{"text": "Hello world", "finish_reason": "stop"}]}'),
                TEXT,
            ),
            Case(
                "a plain native answer", answer(b'{"content": "Hello world", "stop": true}'), TEXT
            ),
            Case("lines of texts", answer(b'"Hello"\n" world"\n'), TEXT),
            Case("half a plain answer", answer(whole[:-9]), raises=(StreamInterrupted,)),
            Case(
                "a plain error", answer(b'{"error": {"message": "x"}}'), raises=(GenerationError,)
            ),
            Case("an empty object", answer(b"{}"), raises=(ProtocolError,)),
            Case("an empty list", answer(b"[]"), raises=(ProtocolError,)),
            Case("nothing", answer(b""), raises=(StreamInterrupted,)),
        ],
    )
    yield (
        "packed",
        [
            Case("gzip", _packed(WHOLE, "gzip"), TEXT),
            Case("x-gzip", _packed(WHOLE, "x-gzip"), TEXT),
            Case("deflate", _packed(WHOLE, "deflate"), TEXT),
            Case("a plain answer in gzip", _packed(whole, "gzip"), TEXT),
            Case(
                "another coding", _packed(WHOLE, "zz"), raises=(ProtocolError,), words="compressed"
            ),
            Case(
                "no gzip",
                Reply([WHOLE], headers={"Content-Encoding": "gzip"}),
                raises=(ProtocolError,),
            ),
        ],
    )
