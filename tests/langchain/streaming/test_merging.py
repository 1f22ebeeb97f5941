"""Chunks merged while they come are what LangChain makes of all of them at the end."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_rocm.streaming.merging import ChunkMerger
from langchain_rocm.streaming.tool_chunks import ToolChunk
from tests.support.adapters.chunks import chat_chunks, events

TEXTS = st.sampled_from(["", "a", " b", '{"x', '": 1}', "\n"])
METADATA = st.sampled_from(
    [
        {},
        {},
        {"model_provider": "rocm"},
        {"model_provider": "rocm", "output_version": "v1"},
        {"finish_reason": "stop"},
        {"timings": {"n": 1, "ms": 0.5}},
    ]
)
KWARGS = st.one_of(
    st.just({}),
    st.builds(lambda text: {"reasoning_content": text}, TEXTS),
    st.sampled_from([{"reasoning_content": None}, {"other": "x"}, {"n": 2}]),
)
INDEXES = st.sampled_from([0, 1, None, "lc_1"])
BLOCKS = st.one_of(
    st.builds(lambda t, i: {"type": "text", "text": t, "index": i}, TEXTS, INDEXES),
    st.builds(lambda t, i: {"type": "reasoning", "reasoning": t, "index": i}, TEXTS, INDEXES),
    st.builds(
        lambda name, args, i: {
            "type": "tool_call_chunk",
            "id": name,
            "name": name,
            "args": args,
            "index": i,
        },
        st.sampled_from([None, "f", "g"]),
        st.one_of(st.none(), TEXTS),
        INDEXES,
    ),
    st.builds(lambda t: {"type": "text", "text": t, "annotations": [], "index": 0}, TEXTS),
    st.builds(lambda t: {"type": "text", "text": t, "extra": None, "index": 0}, TEXTS),
)
CONTENTS = st.one_of(TEXTS, TEXTS, st.lists(st.one_of(BLOCKS, TEXTS), max_size=2))
CALLS = st.lists(
    st.builds(
        lambda name, args, index: tool_call_chunk(name=name, args=args, id=name, index=index),
        st.sampled_from([None, None, "f", "g"]),
        st.one_of(st.none(), TEXTS),
        st.sampled_from([0, 0, 1, None]),
    ),
    max_size=2,
)  # fmt: skip
USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
MESSAGES = st.builds(
    lambda cls, **values: cls(**values),
    st.sampled_from([AIMessageChunk, ToolChunk]),
    content=CONTENTS,
    additional_kwargs=KWARGS,
    response_metadata=METADATA,
    tool_call_chunks=st.one_of(st.just([]), CALLS),
    usage_metadata=st.sampled_from([None, None, None, USAGE]),
    id=st.sampled_from([None, "lc_run--1", "lc_run--1", "lc_2", "theirs"]),
    chunk_position=st.sampled_from([None, None, None, None, "last"]),
)
INFO = st.sampled_from([None, None, {}, {"logprobs": {"content": [1]}}, {"finish_reason": "stop"}])
CHUNKS = st.builds(
    lambda message, info: ChatGenerationChunk(message=message, generation_info=info),
    MESSAGES,
    INFO,
)
# As an answer has them: the same kind again and again.
RUNS = st.lists(st.tuples(CHUNKS, st.integers(1, 4)), max_size=6).map(
    lambda runs: [copy.deepcopy(chunk) for chunk, times in runs for _ in range(times)]
)


def sums(chunks: list[ChatGenerationChunk]) -> tuple[Any, Any]:
    """Return what LangChain makes of ``chunks``, and what the merger does; or both errors."""
    merger = ChunkMerger()
    for chunk in copy.deepcopy(chunks):
        merger.add(chunk)
    return tuple(
        _sum_or_error(merge)
        for merge in (lambda: merge_chat_generation_chunks(chunks), merger.merged)
    )


def _sum_or_error(merge: Any) -> Any:
    try:
        merged = merge()
    except Exception as error:
        return repr(error)
    return merged and (type(merged.message), merged.message.__dict__, merged.model_dump())


@settings(max_examples=500, deadline=None)
@given(RUNS)
def test_the_sum_of_any_chunks_is_langchains(chunks: list[ChatGenerationChunk]) -> None:
    theirs, ours = sums(chunks)
    assert ours == theirs


@pytest.mark.parametrize(
    "capture", ["tools", "tools_cut", "reasoning", "logprobs", "timings", "length"]
)
@pytest.mark.parametrize("options", [{}, {"blocks": True}, {"logprobs": True}])
def test_the_sum_of_a_recorded_answer_is_langchains(capture: str, options: dict[str, bool]) -> None:
    theirs, ours = sums(chat_chunks(events(f"chat_stream_{capture}.b11434.txt"), **options))
    assert ours == theirs


@pytest.mark.parametrize(
    "values",
    [
        {"content": "x"},
        {"additional_kwargs": {"reasoning_content": "x"}},
        {"tool_call_chunks": [tool_call_chunk(args="x", index=0)]},
        {"content": [{"type": "text", "text": "x", "index": 0}]},
        {"content": [{"type": "text", "text": "x", "index": "lc_text"}]},
        {
            "content": [{"type": "reasoning", "reasoning": "x", "index": 0}],
            "additional_kwargs": {"reasoning_content": "x"},
            "response_metadata": {"model_provider": "rocm", "output_version": "v1"},
        },
    ],
)
def test_a_run_is_kept_as_two_chunks(values: dict[str, Any]) -> None:
    chunks = [
        ChatGenerationChunk(message=AIMessageChunk(**{"content": "", **values}))
        for _ in range(1000)
    ]
    merger = ChunkMerger()
    for chunk in chunks:
        merger.add(chunk)
    assert len(merger.chunks()) == 2
    theirs, ours = sums(chunks)
    assert ours == theirs


def test_added_chunks_are_not_changed() -> None:
    chunks = [ChatGenerationChunk(message=AIMessageChunk(content=text)) for text in "abc"]
    before = copy.deepcopy(chunks)
    merger = ChunkMerger()
    for chunk in chunks:
        merger.add(chunk)
    merged = merger.merged()
    assert merged is not None
    assert merged.text == "abc"
    assert chunks == before
