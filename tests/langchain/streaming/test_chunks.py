"""Events of a stream become LangChain's chunks; recorded streams of real servers are the input."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_rocm.streaming.chunks import TextChunks, _chunk, finish_fields
from rocm_core.types import StreamEvent, Usage
from tests.support.adapters.chunks import chat_chunks, events, merged


def messages(chunks: list[ChatGenerationChunk]) -> list[AIMessageChunk]:
    found = [chunk.message for chunk in chunks]
    assert all(isinstance(message, AIMessageChunk) for message in found)
    return found  # type: ignore[return-value]


# ---------------------------------------------------------------------------
# Text and the end
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["b11434", "x11549"])
def test_a_stream_of_text(engine: str) -> None:
    chunks = chat_chunks(events(f"chat_stream.{engine}.txt"))
    *texts, last = messages(chunks)
    assert [m.content for m in texts] == [
        "Hello!",
        " I",
        " am",
        " the",
        " small",
        " demo",
        " model",
    ]
    assert last.content == ""
    assert [m.chunk_position for m in texts] == [None] * 7
    assert last.chunk_position == "last"


def test_metadata_comes_once_and_at_the_end() -> None:
    chunks = chat_chunks(events("chat_stream.b11434.txt"))
    *texts, last = messages(chunks)
    assert all(not m.response_metadata and m.usage_metadata is None for m in texts)
    assert last.usage_metadata == {
        "input_tokens": 21,
        "output_tokens": 8,
        "total_tokens": 29,
        "input_token_details": {"cache_read": 0},
    }
    metadata = dict(last.response_metadata)
    assert metadata.pop("timings")["predicted_n"] == 8
    assert metadata == {
        "model_name": "demo.gguf",
        "model_provider": "rocm",
        **finish_fields("stop"),
    }
    whole = merged(chunks)
    assert whole.response_metadata["model_name"] == "demo.gguf"
    assert whole.usage_metadata == last.usage_metadata
    assert chunks[-1].generation_info == {"finish_reason": "stop"}


def test_timings_are_plain_figures_with_both_speeds() -> None:
    [timings] = [
        m.response_metadata["timings"]
        for m in messages(chat_chunks(events("chat_stream.b11434.txt")))
        if m.response_metadata
    ]
    assert timings["prompt_ms"] == pytest.approx(0.684)
    assert timings["prompt_per_second"] == pytest.approx(30701.75, rel=1e-3)
    assert timings["predicted_per_second"] > 0


@pytest.mark.parametrize(
    "name", ["chat_stream_length.b11434.txt", "chat_stream_timings.b11434.txt"]
)
def test_without_usage_the_end_is_still_told_once(name: str) -> None:
    chunks = messages(chat_chunks(events(name)))
    assert [m.chunk_position for m in chunks].count("last") == 1
    assert chunks[-1].usage_metadata is None
    assert chunks[-1].response_metadata["finish_reason"] == "length"
    assert chunks[-1].response_metadata["timings"]["predicted_n"] > 0


def test_a_stream_that_says_nothing_of_its_end() -> None:
    *texts, last = messages(chat_chunks([StreamEvent("a"), StreamEvent("b")]))
    assert [m.content for m in texts] == ["a", "b"]
    assert last.response_metadata == {"model_name": "fallback", "model_provider": "rocm"}
    assert last.usage_metadata is None
    assert last.chunk_position == "last"


def test_text_on_the_finishing_event_is_kept() -> None:
    end = StreamEvent("b", finish_reason="stop", usage=Usage(3, 2, 1), model="m")
    *texts, last = messages(chat_chunks([StreamEvent("a"), end]))
    assert [m.content for m in texts] == ["a", "b"]
    assert last.usage_metadata is not None
    assert last.usage_metadata["input_token_details"] == {"cache_read": 1}


def test_progress_events_make_no_chunks() -> None:
    chunks = chat_chunks(events("chat_stream_progress.b11434.txt"))
    assert all(m.content for m in messages(chunks)[:-1])


# ---------------------------------------------------------------------------
# Reasoning, tool calls, log probabilities
# ---------------------------------------------------------------------------


def test_reasoning_is_kept_apart_from_text() -> None:
    chunks = chat_chunks(events("chat_stream_reasoning.b11434.txt"))
    for message in messages(chunks):
        assert not (message.content and message.additional_kwargs)
    whole = merged(chunks)
    assert whole.content == "Hi there ✓"
    assert whole.additional_kwargs == {"reasoning_content": "The user says hi.\n"}
    assert [block["type"] for block in whole.content_blocks] == ["reasoning", "text"]


def test_an_event_of_several_kinds_becomes_several_chunks() -> None:
    stream = events("chat_stream_tools.b11434.txt")
    call = next(event for event in stream if event.tool_calls)
    both = StreamEvent("text", reasoning="why", tool_calls=call.tool_calls)
    first, second, third, _ = messages(chat_chunks([both]))
    assert (first.content, first.additional_kwargs) == ("", {"reasoning_content": "why"})
    assert (second.content, second.additional_kwargs) == ("text", {})
    assert third.tool_call_chunks and not third.content


def test_tool_calls_add_up() -> None:
    chunks = chat_chunks(events("chat_stream_tools.b11434.txt"))
    for message in messages(chunks):
        assert not (message.content and message.tool_call_chunks)
    whole = merged(chunks)
    assert whole.content
    assert len(whole.tool_calls) == 2
    assert not whole.invalid_tool_calls
    assert all(call["id"] and call["name"] for call in whole.tool_calls)
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_log_probabilities_come_when_asked_for() -> None:
    stream = events("chat_stream_logprobs.b11434.txt")
    asked = reduce(add, chat_chunks(stream, logprobs=True))
    assert asked.generation_info is not None
    assert len(asked.generation_info["logprobs"]["content"]) == 3
    unasked = reduce(add, chat_chunks(stream))
    assert unasked.generation_info == {"finish_reason": "length"}


# ---------------------------------------------------------------------------
# The object per token
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{}, {"reasoning_content": "hm"}])
def test_the_quick_chunk_equals_a_constructed_one(kwargs: dict[str, Any]) -> None:
    """If LangChain gives its chunks new fields, this is the test that says so."""
    text = "" if kwargs else " token"
    quick = _chunk(text, kwargs)
    message = AIMessageChunk(content=text, additional_kwargs=kwargs)
    slow = ChatGenerationChunk(message=message)
    assert quick == slow
    assert quick.__getstate__() == slow.__getstate__()
    assert quick.message.__getstate__() == message.__getstate__()
    assert quick.model_dump() == slow.model_dump()
    assert repr(quick) == repr(slow)


def test_quick_chunks_share_nothing() -> None:
    one, other = _chunk("a", {}), _chunk("b", {})
    one.message.response_metadata["x"] = 1
    one.message.additional_kwargs["x"] = 1
    one.message.id = "x"
    one.message.unforeseen = 1  # type: ignore[attr-defined]
    for name in ("tool_calls", "invalid_tool_calls", "tool_call_chunks"):
        getattr(one.message, name).append("x")
    fresh = AIMessageChunk(content="b", additional_kwargs={})
    assert other.message.__getstate__() == fresh.__getstate__()
    assert _chunk("b", {}).message.__getstate__() == fresh.__getstate__()


# ---------------------------------------------------------------------------
# Raw completions
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("completion_stream.b11434.txt", "length"),
        ("completion_stream_eos.b11434.txt", "stop"),
        ("completion_stream_stop.b11434.txt", "stop"),
        ("completion_stream_progress.b11434.txt", "length"),
    ],
)
def test_a_raw_completion(name: str, reason: str) -> None:
    reader = TextChunks("fallback")
    stream = events(name)
    chunks = [chunk for event in stream for chunk in reader.read(event)]
    assert all(chunk.text and chunk.generation_info is None for chunk in chunks)
    assert "".join(c.text for c in chunks) == "".join(event.text for event in stream)
    last = reader.last()
    assert last.text == ""
    assert last.generation_info is not None
    assert last.generation_info["finish_reason"] == reason
    assert last.generation_info["model_name"] == "demo.gguf"
    assert last.generation_info["usage"]["output_tokens"] > 0
    assert last.generation_info["timings"]["predicted_n"] > 0
