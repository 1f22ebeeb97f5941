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
    "numbered from 1": piece("Hello", 1) + piece(" world", 1) + piece(None, 1, "stop") + DONE,
    "numbered from 1, and the role from 0": piece(None, role="assistant")
    + piece("Hello", 1)
    + b"data:\n\n"
    + piece(" world", 1, "stop")
    + event(choices=[], usage={"prompt_tokens": 1})
    + DONE,
    "numbered 2 and 1": piece("Bye", 2)
    + piece("Hello", 1)
    + piece(" moon", 2)
    + piece(" world", 1, "stop")
    + DONE,
    "negative usage": HELLO
    + WORLD
    + END
    + event(choices=[], usage={"prompt_tokens": -1, "completion_tokens": -1})
    + DONE,
    "negative timings": HELLO
    + WORLD
    + END
    + event(choices=[], timings={"predicted_ms": -1.0, "predicted_n": -1})
    + DONE,
    "usage in each": WHOLE.replace(b'{"choices"', b'{"usage": {"prompt_tokens": 1}, "choices"'),
    "one event on several lines": WHOLE.replace(b'{"index"', b'\ndata: {"index"'),
    "a comment inside an event": WHOLE.replace(b'{"index"', b'\n: x\ndata: {"index"'),
    "a thousand empty pieces": HELLO + piece("") * 1000 + WORLD + END + DONE,
    "an empty finish reason in each": WHOLE.replace(b": null}", b': ""}'),
    "two finish reasons": HELLO + WORLD + END + END + DONE,
    "no finish reason": HELLO + WORLD + DONE,
    "a name twice in a piece": WHOLE.replace(b'{"content"', b'{"content": "x", "content"'),
    "empty calls beside it": piece("Hello", tool_calls=[]) + WORLD + END + DONE,
    "a role in each": WHOLE.replace(b'{"content"', b'{"role": "assistant", "content"'),
    "a refusal of null": WHOLE.replace(b'{"content"', b'{"refusal": null, "content"'),
    "a long comment": b":" + b"x" * 200_000 + b"\n\n" + WHOLE,
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
    "an index of 7": (call('{"a": 1}', index=7), {"a": 1}),
    "its id in each part": (call('{"a"') + call(": 1}"), {"a": 1}),
    "a part without an index": (
        call('{"a"') + piece(None, tool_calls=[{"function": {"arguments": ": 1}"}}]),
        {"a": 1},
    ),
    "null after its arguments": (call('{"a": 1}') + call(None, id=None), {"a": 1}),
    "blank arguments": (call("  "), {}),
    "in answer 1": (
        event(
            choices=[
                {
                    "index": 1,
                    "delta": {
                        "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": "{}"}}]
                    },
                }
            ]
        ),
        {},
    ),
}
_SECOND = '{"a": 2}'
# Two calls, of 1 and 2.
_TWO: dict[str, bytes] = {
    "two of number 0": call('{"a": 1}') + call(_SECOND, id="d"),
    "two without a number": call('{"a": 1}', index=None) + call(_SECOND, index=None, id="d"),
    "two of number 0, in parts": call('{"a"')
    + call(": 1}", id=None)
    + call('{"a"', id="d")
    + call(": 2}", id=None),
    "numbers 3 and 1": call('{"a": 1}', index=3) + call(_SECOND, index=1, id="d"),
    "two in one event": piece(
        None,
        tool_calls=[
            {"id": id_, "function": {"name": "add", "arguments": {"a": n}}}
            for id_, n in (("c", 1), ("d", 2))
        ],
    ),
    "parts by turns": call('{"a"')
    + call('{"a"', index=1, id="d")
    + call(": 1}", id=None)
    + call(": 2}", index=1, id=None),
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
    "a negative number of an answer": (piece("Hello", -1) + DONE, (ProtocolError,)),
    "an answer numbered 1.5": (HELLO.replace(b": 0", b": 1.5") + DONE, (ProtocolError,)),
    "an error at the end": (HELLO + WORLD + END + event(error={"code": 500}), (HTTPStatusError,)),
    "an error beside a piece": (HELLO.replace(b"{", b'{"error": "x", ', 1), (GenerationError,)),
    "lists in lists": (HELLO + b"data: " + b"[" * 3000 + b"]" * 3000 + b"\n\n", (ProtocolError,)),
    "a number of 6000 digits": (
        HELLO + b'data: {"choices": [], "n": ' + b"1" * 6000 + b"}\n\n" + END,
        (ProtocolError, StreamInterrupted),
    ),
    "answer 1 without an end": (piece("Hello", 1), (StreamInterrupted,)),
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
    both = (("add", {"a": 1}), ("add", {"a": 2}))
    yield (
        "two calls",
        [Case(name, stream(data + END + DONE), "", calls=both) for name, data in _TWO.items()],
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
            Case("numbered 1", answer(whole.replace(b'"index": 0', b'"index": 1')), TEXT),
            Case("a byte order mark", answer(b"\xef\xbb\xbf" + whole), TEXT),
            Case("blanks around it", answer(b"\n  " + whole + b"\n\n"), TEXT),
            Case("usage of -1", answer(whole.replace(b": 1,", b": -1,")), TEXT),
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
