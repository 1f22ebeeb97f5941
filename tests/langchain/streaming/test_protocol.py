"""``stream_events(version="v3")``: our own events, held to LangChain's validator."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool

pytest.importorskip("langchain_tests", reason="pip install langchain-tests runs these")

from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from langchain_rocm import ChatRocm, errors
from langchain_rocm.streaming.protocol import ProtocolEvents
from rocm_core import StreamEvent, ToolCallDelta
from rocm_core.requests.tool_calls import CallReader, tool_request
from tests.support.adapters.chunks import chat_chunks, events, merged
from tests.support.leftovers import abusy, assert_afreed
from tests.support.models.reciter import ANSWER, PIECES
from tests.support.servers.fake_server import captured_streams

STREAMS = [n for n in captured_streams() if n.startswith("chat_stream") and "error" not in n]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def protocol(stream: list[StreamEvent], **options: Any) -> list[dict[str, Any]]:
    reader = ProtocolEvents("fallback", **options)
    return [reader.start(), *(e for event in stream for e in reader.read(event)), *reader.last()]


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_streams_obey_the_lifecycle_and_say_what_the_chunks_say(name: str) -> None:
    stream = events(f"{name}.txt")
    made = protocol(stream)
    assert_valid_event_stream(made)
    chunk = merged(chat_chunks(events(f"{name}.txt")))
    finished = [e["content"] for e in made if e["event"] == "content-block-finish"]
    text = "".join(block["text"] for block in finished if block["type"] == "text")
    thought = "".join(block["reasoning"] for block in finished if block["type"] == "reasoning")
    calls = [block for block in finished if block["type"] == "tool_call"]
    assert text == chunk.text
    assert thought == chunk.additional_kwargs.get("reasoning_content", "")
    if "cut" not in name:
        assert [c["args"] for c in calls] == [call["args"] for call in chunk.tool_calls]
    assert made[-1].get("usage") == chunk.usage_metadata
    for key in ("finish_reason", "timings", "model_name"):
        assert made[-1]["metadata"].get(key) == chunk.response_metadata.get(key)


def test_kinds_that_alternate_are_blocks_in_a_row() -> None:
    call = ToolCallDelta(0, "c", "f", '{"a"')
    more = ToolCallDelta(0, None, None, ": 1}")
    other = ToolCallDelta(1, "d", "g", "{}")
    made = protocol(
        [
            StreamEvent(reasoning="hm"),
            StreamEvent("a"),
            StreamEvent(reasoning="hm"),
            StreamEvent(tool_calls=(call,)),
            StreamEvent(tool_calls=(more, other)),
        ]
    )
    assert_valid_event_stream(made)
    finished = [e["content"] for e in made if e["event"] == "content-block-finish"]
    kinds = ["reasoning", "text", "reasoning", "tool_call", "tool_call"]
    assert [block["type"] for block in finished] == kinds
    assert finished[3]["args"] == {"a": 1}


def test_arguments_that_are_no_json() -> None:
    made = protocol([StreamEvent(tool_calls=(ToolCallDelta(0, "c", "f", '{"a"'),))])
    assert_valid_event_stream(made)
    [block] = [e["content"] for e in made if e["event"] == "content-block-finish"]
    assert (block["type"], block["args"]) == ("invalid_tool_call", '{"a"')


def test_a_missing_call_is_detected_here_too() -> None:
    spec = {"type": "function", "function": {"name": "f", "parameters": {}}}
    with pytest.raises(ValueError, match="the answer has none"):
        protocol([StreamEvent("talk")], calls=CallReader(tool_request([spec], "f" and "any")))


# ---------------------------------------------------------------------------
# The real engines
# ---------------------------------------------------------------------------


async def test_text(chat: ChatRocm) -> None:
    made: list[Any] = list(chat.stream_events("Hi", version="v3"))
    amade: list[Any] = [e async for e in await chat.astream_events("Hi", version="v3")]
    for each in (made, amade):
        assert_valid_event_stream(each)
        deltas = [e["delta"]["text"] for e in each if e["event"] == "content-block-delta"]
        assert deltas == list(PIECES)
        assert each[-1]["usage"]["output_tokens"] == len(PIECES) + 1
    output = chat.stream_events("Hi", version="v3").output
    assert output.text == ANSWER
    assert output.id and output.id.startswith("lc_run--")
    assert output.response_metadata["model_provider"] == "rocm"
    assert output.response_metadata["timings"]["first_token_ms"] > 0


async def test_tool_calls(chat: ChatRocm) -> None:
    bound = chat.bind_tools([add], tool_choice="add")
    made: list[Any] = list(bound.stream_events("Hi", version="v3"))
    assert_valid_event_stream(made)
    stream = await bound.astream_events("Hi", version="v3")
    assert [call["name"] for call in await stream.tool_calls] == ["add"]


def test_log_probabilities_and_errors(chat: ChatRocm) -> None:
    output = chat.stream_events("Hi", version="v3", logprobs=True, max_tokens=3).output
    assert len(output.response_metadata["logprobs"]["content"]) == 3
    with pytest.raises(errors.ContextOverflow):
        _ = chat.stream_events("x" * 10_000, version="v3").output


async def test_leaving_early_frees_the_slot(endless: ChatRocm) -> None:
    stream = await endless.astream_events("Hi", version="v3")
    async for _ in stream.text:
        break
    assert await abusy(endless) == 1
    await stream.aclose()
    await assert_afreed(endless)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_content_blocks_of_either_version(chat: ChatRocm, version: str) -> None:
    chat = chat.model_copy(update={"output_version": version})
    chunks = list(chat.stream("Hi"))
    whole = chunks[0] + chunks[1:]
    assert isinstance(chunks[0].content, str if version == "v0" else list)
    for message in (whole, chat.invoke("Hi")):
        [block] = message.content_blocks
        assert (block["type"], block["text"]) == ("text", ANSWER)  # type: ignore[typeddict-item]
    called: Any = list(chat.bind_tools([add], tool_choice="add").stream("Hi"))
    [call] = (called[0] + called[1:]).content_blocks
    assert call["type"] == "tool_call"
    chat.close()
