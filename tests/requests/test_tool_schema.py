"""Schemas as arguments of tools: what is an object, what is wrapped, inlined, closed, refused."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from rocm_core.errors import ConfigError
from rocm_core.requests import (
    VALUE,
    as_arguments,
    closed,
    inlined,
    is_object,
    tool_request,
    without_titles,
)

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TREE = {
    "$ref": "#/$defs/Tree",
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {"trees": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
        }
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        POINT,
        {"type": "object"},
        {"type": ["object"]},
        {"properties": {}},
        {"additionalProperties": {"type": "integer"}},
        TREE,
        {"anyOf": [POINT, {"$ref": "#/$defs/P"}], "$defs": {"P": POINT}},
        {"allOf": [POINT, {"required": ["x"]}]},
        {"const": {"a": 1}},
        {"enum": [{"a": 1}, {}]},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": POINT}},
        {"$ref": "#/anyOf/0", "anyOf": [POINT]},
    ],
)
def test_objects(schema: dict[str, Any]) -> None:
    assert is_object(schema)
    assert as_arguments(schema) == (schema, False)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array", "items": POINT},
        {"type": ["object", "null"]},
        {"anyOf": [POINT, {"type": "null"}]},
        {"enum": [{}, 1]},
        {"const": 1},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
    ],
)
def test_values_that_are_no_objects_become_one_property(schema: dict[str, Any]) -> None:
    assert not is_object(schema)
    arguments, wrapped = as_arguments(schema)
    assert wrapped and is_object(arguments)
    assert arguments["required"] == [VALUE] and arguments["properties"].keys() == {VALUE}


def test_references_are_right_inside_the_property() -> None:
    schema = {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/P"}, {"$ref": "#/prefixItems/0"}]},
        "prefixItems": [{"type": "boolean"}],
        "$defs": {
            "P": {"type": "object", "properties": {"$ref": {"const": "#"}, "up": {"$ref": "#"}}}
        },
    }
    arguments, _ = as_arguments(schema)
    for good in ([True], [True, [False]], [False, {"$ref": "#", "up": [True]}]):
        jsonschema.validate(good, schema)
        jsonschema.validate({VALUE: good}, arguments)
    for bad in ([1], [True, 3], [False, {"$ref": "x"}], [False, {"up": [1]}]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({VALUE: bad}, arguments)
    named = arguments["$defs"]["P"]["properties"]
    assert named["$ref"] == {"const": "#"}  # a property with that name, no reference


def test_definitions_are_inlined_unless_they_are_recursive() -> None:
    nested = {
        "properties": {"a": {"$ref": "#/$defs/P", "description": "d"}, "$ref": {"type": "null"}},
        "$defs": {"P": POINT},
    }
    assert inlined(nested) == {
        "properties": {"a": {**POINT, "description": "d"}, "$ref": {"type": "null"}}
    }
    assert inlined(TREE) == TREE
    beside = {"properties": {"a": {"$ref": "#/$defs/P", "minProperties": 2}}, "$defs": {"P": POINT}}
    assert inlined(beside) == beside  # both hold: one may not overwrite the other
    elsewhere = {"properties": {"a": {"$ref": "other.json"}}}
    assert inlined(elsewhere) == elsewhere


def test_names_of_properties_are_no_keywords() -> None:
    schema = {
        "title": "T",
        "properties": {
            "title": {"title": "Title", "enum": [{"title": "x"}]},
            "$defs": {"title": 1},
        },
    }
    plain = without_titles(schema)
    assert plain == {"properties": {"title": {"enum": [{"title": "x"}]}, "$defs": {"title": 1}}}
    assert "title" in schema
    shut = closed({"properties": {"properties": {"type": "object", "properties": {}}}})
    assert shut["additionalProperties"] is False
    assert shut["properties"]["properties"]["additionalProperties"] is False
    assert "additionalProperties" not in shut["properties"]


# ---------------------------------------------------------------------------
# The requests
# ---------------------------------------------------------------------------


def _tool(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "t", "parameters": parameters}}


def _forced(parameters: Any) -> Any:
    fields = tool_request([_tool(parameters)], "t").fields
    return fields["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "additionalProperties": {"type": "boolean"}},
        {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
        {"anyOf": [POINT, {"type": "object", "required": ["y"]}]},
        TREE,
        POINT,
    ],
)
def test_arguments_of_every_form_are_enforced(parameters: dict[str, Any]) -> None:
    sent = _forced(parameters)
    values: list[Any] = [{}, {"x": 1}, {"x": True}, {"y": 1}, {"trees": [{}]}, {"trees": [1]}]
    for value in values:
        expected = jsonschema.Draft202012Validator(parameters).is_valid(value)
        assert jsonschema.Draft202012Validator(sent).is_valid(value) == expected


@pytest.mark.parametrize(
    "parameters", [None, {}, {"type": "object"}, {"type": "object", "properties": {}}]
)
def test_no_arguments(parameters: Any) -> None:
    assert _forced(parameters)["additionalProperties"] is False


@pytest.mark.parametrize("choice", ["t", "auto", "any"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "array", "items": {}},
        {"type": "string"},
        {"anyOf": [POINT, {"type": "null"}]},
        {"enum": [1, 2]},
    ],
)
def test_arguments_that_are_no_object_are_refused(parameters: Any, choice: str) -> None:
    with pytest.raises(ConfigError, match=r"tool 't'.*(type|anyOf|enum).*structured output"):
        tool_request([_tool(parameters)], choice)


def test_templates_find_type_and_properties_at_the_top() -> None:
    for parameters in (TREE, {"anyOf": [POINT]}, {"additionalProperties": {"type": "integer"}}):
        [shown] = tool_request([_tool(parameters)]).fields["tools"]
        assert shown["function"]["parameters"].keys() >= {"type", "properties"}
    assert (
        "trees"
        in tool_request([_tool(TREE)]).fields["tools"][0]["function"]["parameters"]["properties"]
    )
