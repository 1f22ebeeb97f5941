"""Answers, calls and counts of a server that does not number or count as the API says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rocm_core.client.stream.events import StreamDecoder, read_event
from rocm_core.types import StreamEvent, ToolCallDelta

DONE = b"data: [DONE]\n\n"


def payload(index: int, **delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": index, "delta": delta}]}).encode()


def part(id_: str | None, name: str | None, text: str, index: int | None = 0) -> dict[str, Any]:
    return {"index": index, "id": id_, "function": {"name": name, "arguments": text}}


def read(*payloads: bytes, answers: int = 1) -> list[StreamEvent]:
    decoder = StreamDecoder(answers=answers)
    events = [event for each in payloads for event in decoder.feed(each)]
    return [*events, *decoder.close()]


def calls(*parts: dict[str, Any], index: int = 0) -> list[ToolCallDelta]:
    events = read(*[payload(index, tool_calls=[each]) for each in parts], DONE)
    return [call for event in events for call in event.tool_calls]


# -- answers --------------------------------------------------------------------------------


def test_the_only_answer_may_have_any_number() -> None:
    events = read(payload(1, content="a"), payload(1, content="b"), DONE)
    assert [(event.text, event.choice) for event in events] == [("a", 0), ("b", 0)]


def test_it_comes_before_the_error_of_a_missing_end() -> None:
    decoder = StreamDecoder(answers=1)
    assert list(decoder.feed(payload(3, content="a"))) == []
    rest = decoder.close()
    assert next(rest).text == "a"


def test_another_answer_is_passed_over_as_soon_as_the_first_begins() -> None:
    decoder = StreamDecoder(answers=1)
    assert list(decoder.feed(payload(1, content="x"))) == []
    assert [event.text for event in decoder.feed(payload(0, content="a"))] == ["a"]
    assert list(decoder.feed(payload(1, content="y") + DONE)) == []
    assert decoder.ended


def test_of_several_asked_answers_each_keeps_its_number() -> None:
    events = read(payload(1, content="a"), payload(2, content="b"), DONE, answers=0)
    assert [(event.text, event.choice) for event in events] == [("a", 1), ("b", 2)]


def test_the_only_native_answer_may_have_any_number() -> None:
    lines = [{"index": 1, "content": "a"}, {"index": 1, "content": "b", "stop": True}]
    events = read(*[b"data: %b\n\n" % json.dumps(line).encode() for line in lines])
    assert "".join(event.text for event in events) == "ab"


# -- calls ----------------------------------------------------------------------------------


def test_an_id_of_its_own_makes_a_call_of_its_own() -> None:
    found = calls(part("a", "f", '{"x"'), part(None, None, ": 1}"), part("b", "g", "{}"))
    assert [(call.index, call.id, call.arguments) for call in found] == [
        (0, "a", '{"x"'),
        (0, None, ": 1}"),
        (1, "b", "{}"),
    ]


def test_no_two_calls_have_one_number() -> None:
    found = calls(
        part("a", "f", ""), part("b", "f", ""), part("c", "f", "", 1), part(None, "", "z")
    )
    assert [(call.index, call.id) for call in found] == [(0, "a"), (1, "b"), (2, "c"), (1, None)]
    other = calls(part("a", "f", "", 5), part("b", "f", "", 5), part("c", "f", "", 0))
    assert [call.index for call in other] == [5, 6, 0]


def test_the_calls_of_another_answer_have_numbers_of_their_own() -> None:
    both = [payload(n, tool_calls=[part(f"{n}", "f", "")]) for n in (0, 1)]
    events = read(*both, DONE, answers=0)
    assert [(event.choice, event.tool_calls[0].index) for event in events] == [(0, 0), (1, 0)]


def test_id_and_name_come_once() -> None:
    found = calls(part("a", "f", "{"), part("a", "f", "}"), part("a", None, ""))
    assert [(call.id, call.name) for call in found] == [("a", "f"), (None, None), (None, None)]
    late = calls(part("a", None, ""), part("a", "f", ""), part("a", "f", ""))
    assert [(call.id, call.name) for call in late] == [("a", None), (None, "f"), (None, None)]


# -- counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1},
        {"prompt_tokens": 1, "completion_tokens": -1},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}},
    ],
)
def test_a_negative_count_is_not_known(usage: dict[str, Any]) -> None:
    assert read_event({"choices": [], "usage": usage}).usage is None


def test_a_negative_count_of_a_native_answer_is_not_known() -> None:
    end = {"content": "", "stop": True, "tokens_predicted": -1, "tokens_evaluated": 3}
    assert read_event(end).usage is None
    assert read_event(end | {"tokens_predicted": 2}).usage is not None
    line = b'{"done": true, "usage": {"prompt_tokens": -1, "completion_tokens": 2}}\n'
    assert [event.usage for event in read(line)] == [None]


@pytest.mark.parametrize("wrong", [{"predicted_ms": -1}, {"prompt_n": -1}, {"prompt_ms": "nan"}])
def test_times_that_cannot_be_are_not_known(wrong: dict[str, Any]) -> None:
    assert read_event({"choices": [], "timings": {"predicted_n": 3, **wrong}}).timings is None
