"""StreamDecoder: what the captured generation streams say, whole and in pieces."""

from __future__ import annotations

import json

import pytest

from rocm_core.client.stream.events import read_event, text_event
from rocm_core.types import StreamEvent, Timings, ToolCallDelta
from tests.support.recorded_streams import FAILED, STREAMS, WHOLE, Measured, Said, read
from tests.support.servers.fake_server import capture, captured_streams


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


def test_an_event_of_text_equals_a_constructed_one() -> None:
    made, constructed = text_event("a", {"b": 1}), StreamEvent("a", {"b": 1})
    assert made == constructed  # of one class, field by field: AttributeError if one is missing
    assert repr(made) == repr(constructed)


@pytest.mark.parametrize("blank", ["", " ", "[DONE]  "])
def test_what_is_no_json_is_no_event(blank: str) -> None:
    ends = blank.startswith("[DONE]")
    answer = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    rest = answer if ends else "data: [DONE]\n\n"
    events, error = read([f"{answer}data: {blank}\n\n{rest}".encode()])
    assert ([event.text for event in events], error) == (["a"], None)


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
