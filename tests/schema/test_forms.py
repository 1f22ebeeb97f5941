"""Combinations of keywords: what is sent for them, and that both engines keep it."""

from __future__ import annotations

from typing import Any

import pytest

from rocm_core import TextModel
from rocm_core.schema import compile_schema
from tests.support.schemas.walking import chats, completions, fits

_YES = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 20, "maximum": 305}
_TREE: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": _YES,
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value", "children"],
        }
    },
    "$ref": "#/$defs/node",
}
# Each was dropped, emptied or refused without a word when the schema was sent as it is.
_CASES: dict[str, Any] = {
    "prefixItems beside items": {
        "type": "array",
        "prefixItems": [_YES],
        "items": _COUNT,
        "minItems": 2,
        "maxItems": 3,
    },
    "properties beside anyOf": {
        "type": "object",
        "properties": {"b": _YES},
        "required": ["b"],
        "anyOf": [{"properties": {"a": _YES}, "required": ["a"]}, {"required": ["c"]}],
    },
    "anyOf and oneOf": {
        "anyOf": [_COUNT, {"type": "string", "maxLength": 2}],
        "oneOf": [{"type": "string"}, {"type": "integer", "maximum": 40}],
    },
    "allOf of a scalar": {"allOf": [_YES]},
    "allOf of bounds": {"allOf": [{"type": "integer"}, {"minimum": 2000}, {"maximum": 9000}]},
    "allOf of objects and a reference": {
        "$defs": {"base": {"type": "object", "properties": {"a": _YES}, "required": ["a"]}},
        "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": _COUNT}, "required": ["b"]}],
    },
    "allOf of enums": {
        "allOf": [{"enum": ["a", "b", 1]}, {"enum": [1.0, "b"]}, {"type": "string"}]
    },
    "a required name without a property": {"type": "object", "required": ["ghost"]},
    "a required name of a pattern": {
        "type": "object",
        "patternProperties": {"^g": _COUNT},
        "additionalProperties": False,
        "required": ["ghost"],
        "maxProperties": 1,
    },
    "boolean subschemas": {
        "type": "object",
        "properties": {"a": True, "b": False, "c": {"type": "array", "items": False}},
        "required": ["a", "c"],
    },
    "a reference to the root": {
        "type": "object",
        "properties": {"child": {"$ref": "#"}, "value": _YES},
        "required": ["value"],
    },
    "a tree": _TREE,
    "a list of trees": {"$defs": _TREE["$defs"], "type": "array", "items": _TREE["$defs"]["node"]},
    "names that differ in punctuation": {
        "$defs": {"a.b": _YES, "a-b": _COUNT, "a/b": {"const": "x"}},
        "type": "array",
        "prefixItems": [
            {"$ref": "#/$defs/a.b"},
            {"$ref": "#/$defs/a-b"},
            {"$ref": "#/$defs/a~1b"},
        ],
        "minItems": 3,
        "maxItems": 3,
    },
    "properties named like rules": {
        "type": "object",
        "properties": {"root": _YES, "string": _COUNT, "space": _YES, "dot": {"pattern": "^.$"}},
        "required": ["root", "string", "space", "dot"],
    },
    "values with escapes": {"enum": ['"', "\\", "\n", {"a": ["\u2028", "é"]}, -0.5, 1e20]},
    "a type of several with keywords of each": {
        "type": ["string", "array", "null"],
        "maxLength": 3,
        "items": _COUNT,
        "maxItems": 2,
    },
    "keywords without a type": {"minLength": 2, "maxLength": 3},
    "two exclusive bounds": {"type": "integer", "exclusiveMinimum": -8, "exclusiveMaximum": -5},
    "a range across zero": {"type": "integer", "minimum": -2001, "maximum": 19},
}
_IDS = list(_CASES)


@pytest.mark.parametrize("name", _IDS)
def test_engines_keep_the_combination(walker: TextModel, name: str) -> None:
    schema = _CASES[name]
    for ask in (chats, completions):
        answers = ask(walker, schema)
        assert answers
        assert [answer for answer in answers if not fits(answer, schema)] == []


@pytest.mark.parametrize("name", [name for name in _IDS if "pattern" not in name])
def test_nothing_of_it_is_left_to_the_check(name: str) -> None:
    notes = [note.keyword for note in compile_schema(_CASES[name]).unenforced]
    assert set(notes) <= {"oneOf"}


def test_a_recursive_schema_that_is_joined_with_itself_comes_to_an_end() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"allOf": [{"$ref": "#"}, {"required": ["y"]}]}},
    }
    sent = compile_schema(schema).sent
    assert sent["properties"]["x"]["$ref"].startswith("#/$defs/")


def test_the_root_is_no_reference() -> None:
    sent = compile_schema(_TREE).sent
    assert sent["properties"].keys() == {"value", "children"}
    assert sent["properties"]["children"]["items"] == {"$ref": "#/$defs/node"}
    assert sent["$defs"].keys() == {"node"}


def test_a_property_that_cannot_be_named_may_still_be_written(walker: TextModel) -> None:
    schema = {
        "type": "object",
        "properties": {"$ref": _YES, "": _YES, "$defs": _YES, "a": _YES},
        "required": ["a"],
    }
    sent = compile_schema(schema).sent
    assert sent["properties"].keys() == {"a"}
    assert sent["additionalProperties"] == _YES
    assert all(answer["a"] in (True, False) for answer in chats(walker, schema))
