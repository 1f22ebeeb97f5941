"""Checking an answer: what is wrong, where, and whether the engine enforces it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from rocm_core.errors import ConfigError, InvalidAnswer
from rocm_core.schema import check_answer, retry_message


def _problem(value: Any, schema: Any) -> str:
    with pytest.raises(InvalidAnswer) as caught:
        check_answer(value, schema)
    assert caught.value.text
    return str(caught.value)


def test_a_value_that_fits_is_returned() -> None:
    value = {"a": [1, 2]}
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    assert check_answer(value, schema) is value
    assert check_answer(value, True) is value


def test_an_enforced_keyword_is_blamed_on_the_server() -> None:
    problem = _problem({"age": 300}, {"properties": {"age": {"type": "integer", "maximum": 150}}})
    assert "$.age: 300 is greater than the maximum of 150 (maximum)" in problem
    assert "llama-server enforces maximum" in problem
    assert "too old" in problem


def test_a_note_of_one_property_says_nothing_of_another() -> None:
    schema = {
        "properties": {
            "price": {"type": "number", "maximum": 5},
            "count": {"type": "integer", "maximum": 5},
        }
    }
    assert "llama-server enforces maximum" in _problem({"count": 6}, schema)
    assert "does not enforce maximum" in _problem({"price": 6}, schema)


@pytest.mark.parametrize(
    ("value", "schema", "keyword"),
    [
        (0.9, {"type": "number", "maximum": 0.5}, "maximum"),
        ([1, 1], {"type": "array", "uniqueItems": True}, "uniqueItems"),
        ("b", {"type": "string", "pattern": "^(?=a)"}, "pattern"),
        ("2023-02-31", {"type": "string", "format": "date"}, "format"),
        (3, {"type": "integer", "not": {"const": 3}}, "not"),
        (10**14, {"type": "integer", "maximum": 10**13}, "maximum"),
        (
            [1],
            {"$defs": {"a": {"uniqueItems": True, "contains": {"const": 2}}}, "$ref": "#/$defs/a"},
            "contains",
        ),
        ({"a": 1}, {"type": "object", "minProperties": 2}, "minProperties"),
    ],
)
def test_a_keyword_that_no_engine_enforces_is_named(value: Any, schema: Any, keyword: str) -> None:
    problem = _problem(value, schema)
    assert f"The engine does not enforce {keyword} here" in problem
    assert "too old" not in problem


def test_schemas_of_earlier_drafts_are_checked_by_their_rules() -> None:
    pair = {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}
    assert check_answer(["a", 1], pair) == ["a", 1]
    assert "$[0]: 1 is not" in _problem([1, 2], pair)
    needs = {"type": "object", "dependencies": {"a": ["b"]}}
    assert "does not enforce dependencies" in _problem({"a": 1}, needs)
    assert check_answer({}, {"type": "object", "required": None}) == {}


@pytest.mark.parametrize("pattern", [r"^(?<year>\d+)$", r"^\d+\z"])
def test_patterns_of_other_languages_are_checked_where_python_can(pattern: str) -> None:
    assert check_answer("12", {"type": "string", "pattern": pattern}) == "12"


def test_a_pattern_that_python_cannot_read_is_told() -> None:
    with pytest.warns(UserWarning, match="is not checked"):
        check_answer("12", {"type": "string", "pattern": r"^\p{Nd}+$"})


def test_without_jsonschema_only_what_engines_enforce_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert check_answer(5, {"type": "integer", "minimum": 7}) == 5
    with pytest.raises(ConfigError, match=r"enforces uniqueItems.*pip install jsonschema"):
        check_answer([], {"type": "array", "uniqueItems": True})


def test_the_message_for_another_try_has_the_problem() -> None:
    message = retry_message("$.age: 300 is too large")
    assert "$.age: 300 is too large" in message
    assert "JSON" in message
