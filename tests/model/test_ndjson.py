"""Generation as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from rocm_core import (
    GenerateConfig,
    TextModel,
    afrom_ndjson,
    ato_ndjson,
    from_ndjson,
    load_model,
    to_ndjson,
)
from rocm_core.errors import GenerationError, ProtocolError, StreamInterrupted
from rocm_core.types import StreamEvent, ToolCallDelta, Usage
from tests.support.servers.fake_server import FakeServer, stream

ASKED = [{"role": "user", "content": "Hello"}]


def test_an_answer_of_the_engine(model: TextModel) -> None:
    config = GenerateConfig(max_tokens=12)
    lines = list(to_ndjson(model.chat_events(ASKED, config)))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    *tokens, end = map(json.loads, lines)
    assert end["done"] is True
    assert end["content"] == "".join(token["token"] for token in tokens) != ""
    assert end["finish_reason"] == "length"
    assert end["usage"]["completion_tokens"] == 12


async def test_the_same_in_asyncio(model: TextModel) -> None:
    config = GenerateConfig(max_tokens=12)
    lines = [line async for line in ato_ndjson(model.achat_events(ASKED, config))]
    blocking = list(to_ndjson(model.chat_events(ASKED, config)))
    assert lines[:-1] == blocking[:-1]
    assert json.loads(lines[-1])["content"] == json.loads(blocking[-1])["content"]


def test_reasoning_and_tool_calls_have_lines_of_their_own() -> None:
    call = ToolCallDelta(0, "id", "f", "{}")
    events = [StreamEvent(reasoning="hm"), StreamEvent(tool_calls=(call,), text="\n\u00e9")]
    said = [json.loads(line) for line in to_ndjson(events)]
    assert said == [
        {"reasoning": "hm"},
        {"tool_call": {"index": 0, "id": "id", "name": "f", "arguments": "{}"}},
        {"token": "\n\u00e9"},
        {"done": True, "content": "\n\u00e9", "finish_reason": None, "usage": None},
    ]


def test_a_broken_stream_has_no_end() -> None:
    def broken() -> Iterator[StreamEvent]:
        yield StreamEvent(text="a")
        raise StreamInterrupted("cut")

    lines = to_ndjson(broken())
    assert json.loads(next(lines)) == {"token": "a"}
    with pytest.raises(StreamInterrupted):
        next(lines)


# -- and back ---------------------------------------------------------------------------------

ANSWER = [
    StreamEvent(reasoning="hm"),
    StreamEvent("Z\u00fc"),
    StreamEvent("rich\n"),
    StreamEvent(tool_calls=(ToolCallDelta(0, "id", "f", '{"a"'),)),
    StreamEvent(tool_calls=(ToolCallDelta(0, None, None, ": 1}"),)),
    StreamEvent(finish_reason="tool_calls", usage=Usage(3, 4, 2)),
]


def facts(events: list[StreamEvent]) -> list[tuple[object, ...]]:
    return [(e.text, e.reasoning, e.tool_calls, e.finish_reason, e.usage) for e in events]


@pytest.mark.parametrize("every", [1, 7, 4096])
async def test_what_was_written_is_read(every: int) -> None:
    data = b"".join(to_ndjson(ANSWER))
    pieces = [data[at : at + every] for at in range(0, len(data), every)]

    async def apieces() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    assert facts(list(from_ndjson(pieces))) == facts(ANSWER)
    assert facts([event async for event in afrom_ndjson(apieces())]) == facts(ANSWER)
    assert list(to_ndjson(from_ndjson(pieces))) == list(to_ndjson(ANSWER))


def test_lines_of_text_and_answers_of_a_server_are_read_too(model: TextModel) -> None:
    lines = [line.decode() for line in to_ndjson(model.chat_events(ASKED, GenerateConfig()))]
    *_, end = from_ndjson(lines)
    assert end.usage and end.usage.completion_tokens
    assert [e.text for e in from_ndjson(['"Hel"\n', b'"l\\u00f6"\n\n', '"!"'])] == [
        "Hel",
        "l\u00f6",
        "!",
    ]
    assert [e.text for e in from_ndjson([b'{"done": true, "content": "whole"}\n'])] == ["whole"]
    sse = [b'data: {"content": "a", "stop": false}\n\n', b'data: {"content": "", "stop": true}\n\n']
    assert [e.text for e in from_ndjson(sse)] == ["a", ""]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([b'{"token": "a"}\n', b'{"tok'], StreamInterrupted),
        ([b'{"token": "a"}\n'], StreamInterrupted),
        ([b'"a"\n', b'"b'], StreamInterrupted),
        ([], StreamInterrupted),
        ([b'"a"\n', b"rubbish\n"], ProtocolError),
        ([b'{"token": {"id": 1}}\n'], ProtocolError),
        ([b'{"tool_call": {"name": 1}}\n'], ProtocolError),
        ([b'{"token": "a"}\n', b'{"error": {"code": 500, "message": "x"}}\n'], GenerationError),
    ],
)
def test_what_is_not_whole_raises(lines: list[bytes], error: type[Exception]) -> None:
    with pytest.raises(error):
        list(from_ndjson(lines))


@pytest.mark.parametrize(
    "body",
    [
        b'"Hel"\n"lo"\n',
        b'{"token": "Hel"}\n{"token": "lo"}\n{"done": true, "content": "Hello"}\n',
    ],
    ids=["strings", "objects"],
)
async def test_a_server_may_answer_in_lines(scripted: FakeServer, body: bytes) -> None:
    scripted.script("/completion", stream(body))
    with load_model(scripted.url) as model:
        assert "".join(token.text for token in model.generate("x")) == "Hello"
        assert "".join([token.text async for token in model.agenerate("x")]) == "Hello"
