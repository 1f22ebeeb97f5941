"""What holds for every schema: nothing is changed, nothing forbidden is sent, nothing is lost."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rocm_core.errors import ConfigError
from rocm_core.schema import CompiledSchema, Unenforced, compile_schema
from rocm_core.schema.limits import LARGEST
from tests.support.schemas.random_schemas import SCHEMAS, VALUES

_NOTES = frozenset({"title", "description", "default", "examples"})
_SENT = _NOTES | {
    *("type", "properties", "required", "additionalProperties", "items", "prefixItems"),
    *("minItems", "maxItems", "pattern", "format", "minLength", "maxLength", "enum", "const"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("anyOf", "$ref", "$defs"),
}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_many = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _compiled(schema: Any) -> CompiledSchema | None:
    """The compiled schema; ``None`` if it is refused, which is the one error there may be."""
    try:
        return compile_schema(schema)
    except ConfigError:
        return None


def _valid(schema: Any, value: Any) -> bool | None:
    """Whether a value fits; ``None`` if the schema refers to itself without an end."""
    try:
        return bool(jsonschema.Draft202012Validator(schema).is_valid(value))
    except RecursionError:
        return None


def _check_form(sent: Any) -> None:
    """Only keywords that engines read alike, none of them beside one that hides it."""
    assert isinstance(sent, dict)
    assert sent.keys() <= _SENT
    if "$ref" in sent:
        assert sent.keys() <= _NOTES | {"$ref"}
    if "anyOf" in sent:
        assert sent.keys() <= _NOTES | {"anyOf", "$defs"}
    assert not {"items", "prefixItems"} <= sent.keys()
    assert set(sent.get("required", ())) <= sent.get("properties", {}).keys()
    assert not {"$ref", "$defs", ""} & sent.get("properties", {}).keys()
    assert all(abs(sent[bound]) <= LARGEST for bound in _BOUNDS if bound in sent)
    inner = [*sent.get("properties", {}).values(), *sent.get("$defs", {}).values()]
    inner += [*sent.get("anyOf", ()), *sent.get("prefixItems", ())]
    inner += [sent["items"]] if "items" in sent else []
    inner += [more] if isinstance(more := sent.get("additionalProperties"), dict) else []
    for schema in inner:
        _check_form(schema)


@_many
@given(SCHEMAS)
def test_a_schema_compiles_or_is_refused_and_is_not_changed(schema: Any) -> None:
    before = copy.deepcopy(schema)
    compiled = _compiled(schema)
    assert schema == before
    if compiled is not None:
        _check_form(compiled.sent)


@_many
@given(SCHEMAS)
def test_what_is_sent_compiles_to_itself(schema: Any) -> None:
    if (compiled := _compiled(schema)) is not None:
        assert compile_schema(compiled.sent).sent == compiled.sent


@_many
@given(SCHEMAS, st.lists(VALUES, max_size=8))
def test_what_is_lost_or_gained_has_a_note(schema: Any, values: list[Any]) -> None:
    if (compiled := _compiled(schema)) is None:
        return
    for value in values:
        wanted, sent = _valid(schema, value), _valid(compiled.sent, value)
        if wanted and not sent:
            assert compiled.narrowed
        if wanted is False and sent:
            assert compiled.unenforced


@_many
@given(SCHEMAS, st.lists(VALUES, max_size=8))
def test_no_value_fits_a_schema_that_is_refused_for_that(schema: Any, values: list[Any]) -> None:
    try:
        compile_schema(schema)
    except ConfigError as error:
        if "No answer can fit" in str(error):
            assert not any(_valid(schema, value) for value in values)


def test_a_schema_that_engines_enforce_is_sent_as_it_is() -> None:
    schema = {
        "title": "Person",
        "description": "Someone",
        "properties": {
            "name": {"type": "string", "description": "in full", "minLength": 1},
            "age": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": 3},
        },
        "required": ["name"],
        "type": "object",
    }
    compiled = compile_schema(schema)
    assert json.dumps(compiled.sent) == json.dumps(schema)
    assert compiled.unenforced == compiled.narrowed == ()


def test_what_is_returned_is_the_callers_own() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    compile_schema(schema).sent["items"]["type"] = "changed"
    assert compile_schema(schema).sent == schema


def test_a_note_names_path_keyword_and_reason() -> None:
    schema = {"properties": {"a/b": {"type": "number", "maximum": 1}}, "type": "object"}
    (note,) = compile_schema(schema).unenforced
    assert (note.path, note.keyword) == ("#/properties/a~1b", "maximum")
    assert isinstance(note, Unenforced)
    assert "bounds" in note.reason


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "/properties/a: type"),
        ({"type": "object", "properties": {"a": []}}, ": properties is"),
        ({"type": "string", "minLength": -1}, ": minLength is -1. It must be an integer"),
        ({"type": "integer", "exclusiveMinimum": True}, ": exclusiveMinimum is True"),
        ({"anyOf": []}, ": anyOf is []"),
        ({"enum": []}, ": enum is []"),
        ({"type": "object", "required": "a"}, ": required is 'a'"),
        ({"multipleOf": 0}, ": multipleOf is 0. It must be a finite number above 0"),
        ({"$ref": "#/$defs/none"}, "points at nothing"),
        ({"$ref": "#none"}, "names no $anchor"),
        ({"$ref": "other.json"}, "points to another document"),
        ({"$ref": "#"}, "$ref"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "without end"),
        (
            {"type": "object", "properties": {"a": False}, "required": ["a"]},
            "/properties/a: schema",
        ),
        ({"type": "string", "minLength": 3, "maxLength": 2}, ": minLength is more than maxLength"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "exclude each other"),
        ({"a": {1, 2}}, "is not JSON"),
        ({"type": "number", "minimum": float("nan")}, "is not JSON"),
        (3, ": schema is 3"),
    ],
)
def test_a_refusal_names_the_place_the_keyword_and_the_remedy(schema: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_schema(schema, where="the schema of a test")
    assert words in str(caught.value)
    assert str(caught.value).startswith("the schema of a test")
    assert str(caught.value).count(". ") >= 1


def test_a_keyword_that_is_null_is_one_that_was_not_given() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "enum": None, "default": None, "title": None}},
        "required": None,
    }
    expected = {"type": "object", "properties": {"a": {"type": "string", "default": None}}}
    assert compile_schema(schema).sent == expected


def test_a_tool_keeps_what_only_a_model_reads() -> None:
    schema = {"type": "array", "items": {"type": "string", "format": "iri"}, "uniqueItems": True}
    assert compile_schema(schema, shown=True).sent == schema
    assert compile_schema(schema).sent == {"type": "array", "items": {"type": "string"}}
