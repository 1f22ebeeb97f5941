"""What never reaches an engine; these schemas are compiled here and sent nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocm_core.errors import ConfigError
from rocm_core.schema import compile_schema
from rocm_core.schema.limits import (
    ALL_REPEATS,
    DEPTH,
    LARGEST,
    OPTIONAL_PROPERTIES,
    REPEATS,
    SCHEMAS,
    VALUES,
)

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_HUGE = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
_BOUNDED = st.dictionaries(st.sampled_from(_BOUNDS[:4]), _HUGE, max_size=4)


def _numbers(sent: Any) -> Iterator[float]:
    """Every number in a compiled schema."""
    if isinstance(sent, dict):
        sent = list(sent.values())
    if isinstance(sent, list):
        for inner in sent:
            yield from _numbers(inner)
    elif isinstance(sent, int | float) and not isinstance(sent, bool):
        yield sent


@given(st.sampled_from(["integer", "number", ["integer", "null"], None]), _BOUNDED)
def test_no_bound_of_more_than_12_digits_is_sent(kind: Any, bounds: dict[str, float]) -> None:
    schema = {**({"type": kind} if kind else {}), **bounds}
    nested = {"type": "array", "items": {"anyOf": [schema, {"allOf": [schema]}]}, "minItems": 1}
    for each in (schema, nested):
        try:
            compiled = compile_schema(each)
        except ConfigError:
            continue  # an empty range
        for number in _numbers(compiled.sent):
            assert abs(number) <= LARGEST
            assert number == round(number, 12)


@pytest.mark.parametrize("keyword", _BOUNDS[:4])
def test_a_bound_that_is_not_sent_is_noted(keyword: str) -> None:
    compiled = compile_schema({"type": "integer", keyword: 10**13})
    assert [note.keyword for note in compiled.unenforced] == [keyword]
    assert "12 digits" in compiled.unenforced[0].reason
    assert compiled.sent == {"type": "integer"}


def test_the_largest_bound_is_sent() -> None:
    schema = {"type": "integer", "minimum": -LARGEST, "maximum": LARGEST}
    assert compile_schema(schema).sent == schema


@pytest.mark.parametrize("low", ["minLength", "minItems"])
def test_of_a_large_least_length_the_first_repetitions_are_sent(low: str) -> None:
    schema = {"type": "string" if low == "minLength" else "array", low: 5000}
    compiled = compile_schema(schema)
    assert compiled.sent[low] == REPEATS
    assert [note.keyword for note in compiled.unenforced] == [low]


def test_all_repetitions_together_have_a_bound() -> None:
    text = {"type": "string", "maxLength": REPEATS}
    names = [f"p{number}" for number in range(2 * ALL_REPEATS // REPEATS)]
    schema = {"type": "object", "properties": dict.fromkeys(names, text), "required": names}
    compiled = compile_schema(schema)
    lengths = [part.get("maxLength", 0) for part in compiled.sent["properties"].values()]
    assert ALL_REPEATS - REPEATS < sum(lengths) <= ALL_REPEATS
    assert len([note for note in compiled.unenforced if note.keyword == "maxLength"]) == len(
        [length for length in lengths if not length]
    )


def test_many_optional_properties_are_any_object() -> None:
    names = [f"p{number}" for number in range(OPTIONAL_PROPERTIES + 1)]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    assert compile_schema(schema).sent == {"type": "object"}
    required = {**schema, "required": names}
    assert compile_schema(required).sent == required


def test_many_values_are_any_of_their_type() -> None:
    compiled = compile_schema({"enum": [f"v{number}" for number in range(VALUES + 1)]})
    assert compiled.sent == {"type": "string"}
    assert [note.keyword for note in compiled.unenforced] == ["enum"]


def test_deep_and_large_schemas_are_refused() -> None:
    deep: Any = {"type": "string"}
    for _ in range(DEPTH + 1):
        deep = {"type": "array", "items": deep}
    with pytest.raises(ConfigError, match="nested too deeply"):
        compile_schema(deep)
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ConfigError, match=r"not JSON|nested"):
        compile_schema({"default": deep, "items": deep[0]})
    names = [f"p{number}" for number in range(SCHEMAS)]
    large = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    with pytest.raises(ConfigError, match=f"more than {SCHEMAS} parts"):
        compile_schema(large)


def test_alternatives_beside_each_other_do_not_multiply_without_end() -> None:
    ways = {"anyOf": [{"type": "integer", "maximum": number} for number in range(20)]}
    compiled = compile_schema({"allOf": [ways, ways, ways]})
    assert len(compiled.sent["anyOf"]) <= 64
    assert [note.keyword for note in compiled.unenforced] == ["anyOf"]


def test_one_range_is_empty_if_its_ends_cross_beyond_what_is_sent() -> None:
    with pytest.raises(ConfigError, match="leaves no number"):
        compile_schema({"type": "integer", "minimum": 10**20, "maximum": 10**19})


def test_numbers_beyond_what_a_float_holds_are_not_sent() -> None:
    huge = 10**400
    bounded = {"type": "integer", "maximum": huge, "multipleOf": huge}
    assert compile_schema(bounded).sent == {"type": "integer"}
    assert compile_schema({"type": "number", "minimum": -huge}).sent == {"type": "number"}
    assert compile_schema({"type": "integer", "enum": [1, huge]}).sent == {"type": "integer"}
    assert compile_schema({"type": "string", "maxLength": huge}).sent == {"type": "string"}
