"""Tool requests, and the calls in answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rocm_core.errors import ConfigError, InvalidAnswer
from rocm_core.requests.arguments import object_text, parse_arguments, read_call
from rocm_core.requests.reasoning import reasoning_fields, unthinking
from rocm_core.requests.response_format import normalized_format, parse_answer, schema_format
from rocm_core.requests.tool_calls import CallReader, ToolRequest, tool_request
from rocm_core.types import StreamEvent, ToolCallDelta


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


ADD, SUB = tool("add", a={"type": "integer"}), tool("sub", a={"type": "integer"})


@pytest.mark.parametrize("choice", [None, False, "auto", {"type": "auto"}])
def test_as_the_model_likes(choice: Any) -> None:
    request = tool_request([ADD, SUB], choice)
    assert request.fields == {"tools": [ADD, SUB], "tool_choice": "auto"}
    assert not request.required


def test_no_call() -> None:
    assert tool_request([ADD], "none").fields["tool_choice"] == "none"
    assert tool_request([]) == ToolRequest()


@pytest.mark.parametrize("choice", ["any", "required", True, {"type": "any"}])
def test_some_call(choice: Any) -> None:
    request = tool_request([ADD, SUB], choice)
    assert request.fields == {"tools": [ADD, SUB], "tool_choice": "required"}
    assert request.required and request.forced is None


@pytest.mark.parametrize(
    "choice",
    [
        "sub",
        {"type": "function", "function": {"name": "sub"}},
        {"type": "function", "name": "sub"},
        {"type": "tool", "name": "sub"},
    ],
)
def test_one_named_tool_is_forced(choice: Any) -> None:
    request = tool_request([ADD, SUB], choice)
    assert request.forced == "sub" and request.required
    assert request.fields["tools"] == [SUB]
    assert request.fields["response_format"] == schema_format(SUB["function"]["parameters"], "sub")


def test_true_with_one_tool_names_it() -> None:
    assert tool_request([ADD], True).forced == "add"


def test_a_tool_without_arguments_gets_an_empty_object() -> None:
    schema = tool_request([tool("now")], "now").fields["response_format"]["json_schema"]["schema"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("choice", ["mul", "required", {"type": "function"}, 3])
def test_choices_that_cannot_be(choice: Any) -> None:
    with pytest.raises(ConfigError, match="tool_choice"):
        tool_request([ADD] if choice != "required" else [], choice)


def test_a_tool_needs_a_name() -> None:
    with pytest.raises(ConfigError, match="a function with a name"):
        tool_request([{"type": "web_search"}], "any")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_json_does_not_have_is_no_argument(number: str) -> None:
    """Nor is it sent back: llama-server cannot read it."""
    with pytest.raises(
        InvalidAnswer, match=r"no number of JSON|\$\.a\[1\]: -?1e999 is out of range"
    ):
        parse_arguments(f'{{"a": [1, {number}]}}')
    assert object_text(f'{{"a": {number}}}') == "{}"
    with pytest.raises(ConfigError, match="no JSON"):
        object_text({"a": [float(number)]})
    assert parse_arguments('{"a": [1.5, 1e3, -0.0]}') == {"a": [1.5, 1000.0, 0.0]}


@pytest.mark.parametrize("arguments", ['{"a": 1}', "{}", '{"ü": "✓"}'])
def test_whole_arguments_stay(arguments: str) -> None:
    assert object_text(arguments) == arguments


@pytest.mark.parametrize("arguments", ['{"a', "", None, "[1]", "1", "x"])
def test_broken_arguments_become_an_empty_object(arguments: Any) -> None:
    assert object_text(arguments) == "{}"


def test_arguments_as_an_object() -> None:
    assert json.loads(object_text({"city": "Zürich"})) == {"city": "Zürich"}


# ---------------------------------------------------------------------------
# Generation
# ---------------------------------------------------------------------------


def read(request: ToolRequest, *events: StreamEvent) -> list[StreamEvent]:
    reader = CallReader(request)
    result = [reader.read(event) for event in events]
    reader.verify()
    return result


def test_a_forced_answer_becomes_the_call() -> None:
    request = tool_request([ADD], "add")
    events = read(
        request,
        StreamEvent(reasoning="hm"),
        StreamEvent("\n"),
        StreamEvent('{"a"'),
        StreamEvent(": 1}"),
        StreamEvent(finish_reason="stop"),
    )
    assert not any(event.text for event in events)
    calls = [call for event in events for call in event.tool_calls]
    assert [call.name for call in calls] == ["add", None]
    assert calls[0].id and calls[1].id is None
    assert "".join(call.arguments for call in calls) == '{"a": 1}'
    assert events[-1].finish_reason == "tool_calls"
    assert events[0].reasoning == "hm"


def test_a_call_without_an_id_gets_one_and_keeps_it() -> None:
    first = StreamEvent(tool_calls=(ToolCallDelta(0, None, "add", ""),))
    more = StreamEvent(tool_calls=(ToolCallDelta(0, None, None, "{}"),))
    events = read(tool_request([ADD]), first, more)
    assert events[0].tool_calls[0].id
    assert events[1].tool_calls[0].id is None


def test_a_missing_call_is_detected() -> None:
    request = tool_request([ADD, SUB], "any")
    with pytest.raises(InvalidAnswer, match="just talked") as caught:
        read(request, StreamEvent("Hello"), StreamEvent(finish_reason="stop"))
    assert caught.value.text == "Hello"
    with pytest.raises(InvalidAnswer, match="token limit"):
        read(request, StreamEvent("Hello"), StreamEvent(finish_reason="length"))


def test_a_call_that_was_cut_off_is_detected() -> None:
    call = StreamEvent(tool_calls=(ToolCallDelta(0, "c", "add", '{"a": 1'),))
    with pytest.raises(InvalidAnswer, match="raise max_tokens"):
        read(tool_request([ADD]), call, StreamEvent(finish_reason="length"))
    whole = StreamEvent(tool_calls=(ToolCallDelta(0, "c", "add", "{}"),))
    assert read(tool_request([ADD]), whole, StreamEvent(finish_reason="length"))


# ---------------------------------------------------------------------------
# Schemas, reasoning
# ---------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    "given",
    [
        {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA},
        },
        {"type": "json_schema", "schema": SCHEMA},
        {"type": "json_object", "schema": SCHEMA},
    ],
)
def test_every_spelling_becomes_the_one_that_is_enforced(given: Any) -> None:
    assert normalized_format(given) == schema_format(SCHEMA)


def test_strict_stays() -> None:
    given = {"type": "json_schema", "json_schema": {"schema": SCHEMA, "strict": True}}
    normalized = normalized_format(given)
    assert normalized is not None and normalized["json_schema"]["strict"] is True


def test_json_without_a_schema_is_any_object() -> None:
    assert normalized_format({"type": "json_object"}) == schema_format({"type": "object"})
    assert normalized_format({"type": "text"}) is None
    assert normalized_format(None) is None


def test_an_unknown_format() -> None:
    with pytest.raises(ConfigError, match="response_format"):
        normalized_format({"type": "xml"})


def test_the_answer_is_found_in_the_reasoning_of_an_open_think_block() -> None:
    assert parse_answer(' {"a": 1}') == {"a": 1}
    assert parse_answer("", '{"a": 1}') == {"a": 1}
    with pytest.raises(InvalidAnswer, match="no JSON") as caught:
        parse_answer("Sure! Here", '{"a": 1}')
    assert caught.value.text == "Sure! Here"


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ((None,), {}),
        ((True,), {"chat_template_kwargs": {"enable_thinking": True}}),
        (("none",), {"chat_template_kwargs": {"enable_thinking": False}}),
        (("high", 64), {"reasoning_effort": "high", "reasoning_budget_tokens": 64}),
        ((None, 0), {"reasoning_budget_tokens": 0}),
        ((False, None, {"x": 1}), {"chat_template_kwargs": {"x": 1, "enable_thinking": False}}),
        (
            (False, None, {"enable_thinking": True}),
            {"chat_template_kwargs": {"enable_thinking": True}},
        ),
    ],
)
def test_reasoning(options: tuple[Any, ...], fields: dict[str, Any]) -> None:
    assert reasoning_fields(*options) == fields


@pytest.mark.parametrize(
    ("fields", "kwargs"),
    [
        ({}, {"enable_thinking": False}),
        ({"chat_template_kwargs": {"x": 1}}, {"enable_thinking": False, "x": 1}),
        ({"chat_template_kwargs": {"enable_thinking": True}}, {"enable_thinking": True}),
        ({"reasoning_effort": "low"}, None),
        ({"reasoning_budget_tokens": 50}, None),
    ],
)
def test_thinking_is_off_unless_told(fields: dict[str, Any], kwargs: dict[str, Any] | None) -> None:
    made = unthinking(fields)
    assert made.get("chat_template_kwargs") == kwargs
    assert {**made, "chat_template_kwargs": None} == {**fields, "chat_template_kwargs": None}


@pytest.mark.parametrize("name", [None, "", " ", "\n"])
def test_a_call_without_a_name_is_none(name: str | None) -> None:
    with pytest.raises(InvalidAnswer, match="names no tool") as caught:
        read_call(name, '{"a": 1}')
    assert caught.value.text == '{"a": 1}'
    assert read_call("add", '{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        '{"path": "/a", "path": "/b"}',
        '{"a": 1, "a": true}',
        '{"a": {"b": [1], "c": 2, "b": []}}',
        '{"a": [{"b": null, "b": 0}]}',
    ],
)
def test_an_argument_with_two_values_has_none(text: str) -> None:
    with pytest.raises(InvalidAnswer, match="has two values"):
        parse_arguments(text)
    assert object_text(text) == "{}"


def test_an_argument_that_is_repeated_has_its_value() -> None:
    assert parse_arguments('{"a": {"b": 1}, "a": {"b": 1}, "c": 2}') == {"a": {"b": 1}, "c": 2}
