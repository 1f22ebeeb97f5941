"""Generation as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rocm_core import GenerateConfig, TextModel, ato_ndjson, to_ndjson
from rocm_core.errors import StreamInterrupted
from rocm_core.types import StreamEvent, ToolCallDelta

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
