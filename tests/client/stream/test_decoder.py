"""StreamDecoder: what the captured generation streams say, whole, in pieces, cut off, damaged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rocm_core.client.stream.events import StreamDecoder, read_event
from rocm_core.errors import (
    AuthenticationError,
    ContextOverflow,
    GenerationError,
    HTTPStatusError,
    NotSupported,
    ProtocolError,
    RocmError,
    ServerBusy,
    ServerLoading,
    StreamInterrupted,
)
from rocm_core.types import StreamEvent, Timings, ToolCallDelta, Usage
from tests.support.servers.fake_server import capture, captured_streams

unhurried = settings(deadline=None)
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


def events_of(name: str) -> list[StreamEvent]:
    events, error = read([capture(name)])
    assert error is None
    return events


def measured(timings: Timings) -> Measured:
    t = timings
    return t.prompt_n, t.prompt_ms, t.predicted_n, t.predicted_ms, t.cache_n


def said(events: list[StreamEvent]) -> Said:
    return Said(
        text="".join(event.text for event in events),
        finish=next((event.finish_reason for event in events if event.finish_reason), None),
        ids=tuple(id_ for event in events for id_ in event.token_ids),
        usage=next((event.usage for event in reversed(events) if event.usage), None),
        timings=next((measured(e.timings) for e in reversed(events) if e.timings), None),
        model=next((event.model for event in reversed(events) if event.model), None),
    )


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def text_event(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


# -- captured streams -----------------------------------------------------------------------


def test_every_captured_stream_is_tested() -> None:
    names = {name for name in captured_streams() if not name.endswith(".x11549")}

    assert names == {*WHOLE, *FAILED}


@pytest.mark.parametrize("name", STREAMS)
def test_captured_stream_says_what_it_said(name: str) -> None:
    assert said(events_of(f"{name}.b11434")) == STREAMS[name]


def test_pings_change_nothing() -> None:
    assert events_of("chat_stream_ping.derived") == events_of("chat_stream_length.b11434")


@pytest.mark.parametrize("name", [n for n in captured_streams() if n.endswith(".x11549")])
def test_both_engines_say_the_same(name: str) -> None:
    mine, error = read([capture(name)])
    other, same_error = read([capture(name.replace(".x11549", ".b11434"))])

    assert [(e.text, e.reasoning, e.token_ids, e.finish_reason, e.usage) for e in mine] == [
        (e.text, e.reasoning, e.token_ids, e.finish_reason, e.usage) for e in other
    ]
    assert repr(error) == repr(same_error)


def test_each_event_keeps_the_decoded_json_object() -> None:
    lines = capture("chat_stream.b11434").splitlines()
    objects = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]

    assert [each.raw for each in events_of("chat_stream.b11434")] == objects


def test_tool_calls_come_in_parts_with_id_and_name_in_the_first() -> None:
    parts = [part for e in events_of("chat_stream_tools.b11434") for part in e.tool_calls]
    first, second = (
        "".join(part.arguments for part in parts if part.index == index) for index in (0, 1)
    )

    assert parts[0] == ToolCallDelta(0, "7kzV7DOVhZVePxhrPVvID3bqB8Uc8YMI", "get_weather", '{"')
    assert parts[1] == ToolCallDelta(0, None, None, "city")
    assert parts[8] == ToolCallDelta(1, "6Vq9k4gsZCLNth1U81aex2aHY2t81Xa0", "get_time", "{")
    assert json.loads(first) == {"city": "Zürich", "days": 3}
    assert json.loads(second) == {}


def test_tool_call_that_was_cut_by_the_limit_keeps_its_unfinished_arguments() -> None:
    events = events_of("chat_stream_tools_cut.b11434")
    parts = [part for each in events for part in each.tool_calls]

    assert "".join(part.arguments for part in parts) == '{"city": "'


def test_reasoning_is_apart_from_the_text() -> None:
    events = events_of("chat_stream_reasoning.b11434")

    assert "".join(each.reasoning for each in events) == "The user says hi.\n"
    assert not any(each.reasoning and each.text for each in events)


def test_reasoning_under_its_other_name() -> None:
    assert read_event({"choices": [{"delta": {"reasoning": "hm"}}]}).reasoning == "hm"


@pytest.mark.parametrize("name", ["chat_stream_logprobs.b11434", "completion_stream_probs.b11434"])
def test_logprobs_of_each_token(name: str) -> None:
    entries = [entry for each in events_of(name) for entry in each.logprobs or []]

    assert [entry["token"] for entry in entries[:2]] == ["Hello!", " I"]
    assert [entry["logprob"] for entry in entries[:2]] == [0.0, 0.0]
    assert [top["id"] for top in entries[0]["top_logprobs"]] == [260, 125]


def test_stop_word_is_named() -> None:
    assert events_of("completion_stream_stop.b11434")[-1].stop_word == "small demo"
    assert events_of("completion_stream_eos.b11434")[-1].stop_word is None


def test_timings_come_with_every_event_if_asked_for() -> None:
    events = events_of("chat_stream_timings.b11434")

    assert [each.timings.predicted_n for each in events if each.timings] == [1, 2, 3, 3]


@pytest.mark.parametrize("name", ["chat_stream.b11434", "completion_stream.b11434"])
def test_speeds_are_those_that_the_server_tells(name: str) -> None:
    last = events_of(name)[-1]
    told = last.raw["timings"]

    assert last.timings is not None
    assert last.timings.prompt_per_second == pytest.approx(told["prompt_per_second"])
    # llama-server leaves the first token, which comes with the prefill, out of this one.
    assert last.timings.predicted_per_second == pytest.approx(told["predicted_per_second"])
    assert last.timings.as_dict()["predicted_n"] == told["predicted_n"]


def test_progress_events_carry_no_token_ids() -> None:
    events = events_of("completion_stream_progress.b11434")
    progress = [each for each in events if "prompt_progress" in each.raw]

    assert [each.raw["prompt_progress"]["processed"] for each in progress] == [0, 64, 128, 140]
    assert not any(each.token_ids or each.text for each in progress)


# -- any pieces -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*WHOLE, *FAILED])
def test_events_are_the_same_for_a_cut_at_every_offset(name: str) -> None:
    data = capture(name)
    events, error = read([data])

    for at in range(len(data) + 1):
        cut_events, cut_error = read([data[:at], data[at:]])
        assert cut_events == events, f"cut at {at}"
        assert repr(cut_error) == repr(error)


@pytest.mark.parametrize("name", [*WHOLE, *FAILED])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_events_are_the_same_for_pieces_of_one_size(name: str, size: int) -> None:
    data = capture(name)
    events, error = read([data])

    small_events, small_error = read(data[at : at + size] for at in range(0, len(data), size))

    assert small_events == events
    assert repr(small_error) == repr(error)


# -- the end marker -------------------------------------------------------------------------


def end_of(data: bytes) -> int:
    """The offset at which a captured stream is complete."""
    if b"[DONE]" in data:
        return data.index(b"[DONE]") + len(b"[DONE]")
    return data.rindex(b"}") + 1


def places(data: bytes) -> list[int]:
    """Many offsets: every seventh, and all near the end."""
    return [*range(0, len(data) - 60, 7), *range(len(data) - 60, len(data) + 1)]


@pytest.mark.parametrize("name", WHOLE)
def test_stream_cut_off_anywhere_before_its_end_marker_is_interrupted(name: str) -> None:
    data = capture(name)
    end = end_of(data)
    events, _ = read([data])

    for at in places(data):
        cut_events, error = read([data[:at]])
        assert cut_events == events[: len(cut_events)]
        assert (type(error) is StreamInterrupted) == (at < end), f"cut off at {at}: {error!r}"


@pytest.mark.parametrize("name", FAILED)
def test_failing_stream_cut_off_anywhere_never_succeeds(name: str) -> None:
    data = capture(name)
    end = data.index(b'"server_error"}') + len(b'"server_error"}}')

    for at in places(data):
        _, error = read([data[:at]])
        expected = (StreamInterrupted, GenerationError) if at < end else GenerationError
        assert isinstance(error, expected), f"cut off at {at}: {error!r}"


def test_nothing_after_the_end_marker_is_read() -> None:
    decoder = StreamDecoder()

    assert [each.text for each in decoder.feed(text_event("a") + DONE + b"data: rubbish\n\n")] == [
        "a"
    ]
    assert decoder.ended
    assert list(decoder.feed(text_event("b"))) == []
    assert list(decoder.close()) == []


def test_native_stream_ends_with_its_stop_event() -> None:
    decoder = StreamDecoder()

    list(decoder.feed(event({"content": "a", "stop": False})))
    assert not decoder.ended
    list(decoder.feed(event({"content": "", "stop": True, "stop_type": "eos"})))
    assert decoder.ended


def test_finish_reason_alone_is_no_end_marker() -> None:
    finish = event({"choices": [{"delta": {}, "finish_reason": "stop"}]})

    events, error = read([text_event("a"), finish])

    assert [each.finish_reason for each in events] == [None, "stop"]
    assert type(error) is StreamInterrupted


@pytest.mark.parametrize("body", [b"", b"\n\n", b": ping\n\n", b"<html>Welcome</html>"])
def test_answer_without_events_is_interrupted(body: bytes) -> None:
    events, error = read([body])

    assert events == []
    assert type(error) is StreamInterrupted
    assert "incomplete" in str(error)


# -- failures inside a stream ---------------------------------------------------------------


@pytest.mark.parametrize("name", FAILED)
def test_failure_comes_after_the_text_before_it(name: str) -> None:
    events, error = read([capture(name)])

    assert "".join(each.text for each in events) == FAILED[name]
    assert type(error) is GenerationError
    assert error.status == 500
    assert error.type == "server_error"
    assert error.message == "Context size has been exceeded."


ERRORS = [
    ({"code": 500, "message": "bad", "type": "server_error"}, GenerationError),
    ({"code": 503, "message": "Loading model", "type": "unavailable_error"}, ServerLoading),
    ({"code": 503, "message": "no slot available", "type": "unavailable_error"}, ServerBusy),
    ({"code": 401, "message": "Invalid API Key", "type": "authentication_error"},
     AuthenticationError),
    ({"code": 501, "message": "no", "type": "not_supported_error"}, NotSupported),
    ({"message": "without code or type"}, GenerationError),
    ({"code": 400, "message": "too long", "type": "exceed_context_size_error",
      "n_prompt_tokens": 9, "n_ctx": 8}, ContextOverflow),
]  # fmt: skip


@pytest.mark.parametrize(("report", "cls"), ERRORS)
@pytest.mark.parametrize("dialect", ["data", "error"])
def test_failure_has_the_class_of_the_same_http_error(
    dialect: str, report: dict[str, object], cls: type[HTTPStatusError]
) -> None:
    body = json.dumps({"error": report} if dialect == "data" else report)

    events, error = read([text_event("a"), f"{dialect}: {body}\n\n".encode()])

    assert [each.text for each in events] == ["a"]
    assert type(error) is cls
    assert error.message == report["message"]


@pytest.mark.parametrize("line", ['data: {"error": "no luck"}', "error: no luck"])
def test_failure_may_be_a_plain_string(line: str) -> None:
    _, error = read([line.encode() + b"\n\n"])

    assert type(error) is GenerationError
    assert error.message == "no luck"


# -- damaged streams ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"rubbish",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"choices":[1]}',
        b'{"choices":{"0":1}}',
        b'{"choices":[{"delta":{"content":7}}]}',
        b'{"choices":[{"delta":{"tool_calls":[1]}}]}',
        b'{"choices":[{"text":["a"]}]}',
        b'{"content":null,"stop":true}',
        b'{"content":"","stop":true,"stop_type":[]}',
        b'{"choices":[],"usage":[1]}',
        b'{"choices":[],"timings":{"prompt_n":"many"}}',
        b'{"choices":[],"timings":{"prompt_n":1e999}}',
        b'{"choices":[],"timings":{"prompt_ms":' + b"9" * 400 + b"}}",
        b'{"content":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_payload_of_an_unknown_shape_is_a_protocol_error(payload: bytes) -> None:
    events, error = read([text_event("a"), b"data: " + payload + b"\n\n", DONE])

    assert [each.text for each in events] == ["a"]
    assert type(error) is ProtocolError
    assert len(str(error)) < 1000


def test_failure_of_an_absurd_shape_is_still_a_failure() -> None:
    nested = b"[" * 1000 + b"]" * 1000

    _, error = read([b'data: {"error":{"message":' + nested + b"}}\n\n"])

    assert type(error) is GenerationError


def test_invalid_utf8_is_replaced() -> None:
    events, error = read([b'data: {"content":"a\xff\xe2\x82","stop":true}\n\n'])

    assert error is None
    assert events[0].text == "a\ufffd\ufffd"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = [
    "error", "choices", "delta", "content", "reasoning_content", "tool_calls", "index", "id",
    "function", "name", "arguments", "text", "finish_reason", "logprobs", "usage", "timings",
    "prompt_n", "prompt_ms", "cache_n", "prompt_tokens_details", "cached_tokens", "stop",
    "stop_type", "tokens", "tokens_predicted", "tokens_evaluated", "completion_probabilities",
    "code", "type", "message", "n_ctx", "model",
]  # fmt: skip
STREAM_LIKE = st.recursive(
    JSON,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=5)
    ),
    max_leaves=15,
)


@unhurried
@given(st.dictionaries(st.sampled_from(NAMES), STREAM_LIKE, max_size=6))
@example({"choices": [{"delta": {"content": "", "tool_calls": [{"function": []}]}}]})
@example({"choices": [], "timings": {"prompt_n": float("inf")}})
@example(
    {"error": {"message": f"({'9' * 5000} tokens) exceeds the available context size (1 tokens)"}}
)
def test_arbitrary_objects_raise_nothing_but_our_errors(raw: dict[str, object]) -> None:
    with contextlib.suppress(RocmError):
        assert type(read_event(raw).text) is str


@unhurried
@given(st.lists(JSON | STREAM_LIKE, min_size=1, max_size=4))
def test_arbitrary_json_never_passes_for_a_whole_answer(objects: list[object]) -> None:
    _, error = read(event(each) for each in objects)

    ends = any(isinstance(each, dict) and each.get("stop") is True for each in objects)
    assert ends or isinstance(error, (ProtocolError, HTTPStatusError))


@unhurried
@given(st.lists(st.binary() | st.sampled_from([b"data: ", b"error: ", b"{", b'{"content":"', b'"}',
                                               b"\n\n", b"[DONE]", text_event("a")])))  # fmt: skip
def test_arbitrary_bytes_raise_nothing_but_our_errors(pieces: list[bytes]) -> None:
    _, error = read(pieces)

    assert error is not None or b"[DONE]" in b"".join(pieces)
