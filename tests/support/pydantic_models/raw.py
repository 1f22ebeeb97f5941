"""JSON schemas as dicts, most of them without ``properties`` at the top."""

from __future__ import annotations

from typing import Any

_POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x", "y"],
}
_SHORT = {"type": "string", "maxLength": 5}

SCHEMAS: dict[str, dict[str, Any]] = {
    "object": {"title": "Point", **_POINT},
    "untitled": _POINT,
    "list": {"title": "L", "type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    "list of objects": {"title": "L", "type": "array", "items": _POINT, "maxItems": 2},
    "tuple": {
        "title": "T",
        "type": "array",
        "prefixItems": [_SHORT, {"type": "integer"}],
        "items": False,
        "minItems": 2,
    },
    "enum": {"title": "E", "enum": ["red", "green", 3, None]},
    "const": {"title": "C", "const": {"a": [1, "b"]}},
    "number": {"title": "N", "type": "integer", "minimum": 1, "maximum": 6},
    "text": {"title": "S", "type": "string", "maxLength": 8},
    "several types": {"title": "T", "type": ["integer", "null"]},
    "any of objects": {
        "title": "A",
        "anyOf": [_POINT, {"type": "object", "properties": {"name": _SHORT}, "required": ["name"]}],
    },
    "any of types": {"title": "A", "anyOf": [{"type": "boolean"}, {"type": "null"}]},
    "one of": {
        "title": "O",
        "oneOf": [{"type": "boolean"}, {"type": "array", "items": _SHORT, "maxItems": 2}],
    },
    "all of": {
        "title": "B",
        "allOf": [
            _POINT,
            {"type": "object", "properties": {"z": {"type": "integer"}}, "required": ["z"]},
        ],
    },
    "all of one": {"title": "B", "allOf": [{"type": "boolean"}]},
    "map": {"title": "M", "type": "object", "additionalProperties": {"type": "boolean"}},
    "map of lists": {
        "title": "M",
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        "maxProperties": 2,
    },
    "reference": {"title": "R", "$ref": "#/$defs/Point", "$defs": {"Point": _POINT}},
    "recursive": {
        "title": "Tree",
        "$ref": "#/$defs/Tree",
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {
                    "leaf": {"type": "boolean"},
                    "trees": {"type": "array", "items": {"$ref": "#/$defs/Tree"}, "maxItems": 2},
                },
                "required": ["leaf"],
            }
        },
    },
    "recursive root": {
        "title": "Chain",
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"$ref": "#"}},
        "required": ["value"],
        "additionalProperties": False,
    },
    "definitions": {
        "title": "D",
        "type": "object",
        "properties": {"at": {"$ref": "#/definitions/Point"}},
        "required": ["at"],
        "definitions": {"Point": _POINT},
    },
    "properties beside any of": {
        "title": "P",
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "pattern properties": {
        "title": "P",
        "type": "object",
        "patternProperties": {"^x_": {"type": "integer"}},
        "additionalProperties": False,
    },
    "dependent": {
        "title": "P",
        "type": "object",
        "properties": {"card": {"type": "integer"}, "code": {"type": "integer"}},
        "dependentRequired": {"card": ["code"]},
        "additionalProperties": False,
    },
    "not": {
        "title": "P",
        "type": "object",
        "properties": {"a": {"type": "integer", "not": {"const": 3}}},
        "required": ["a"],
    },
    "required without property": {"title": "P", "type": "object", "required": ["name"]},
    "unique": {
        "title": "U",
        "type": "array",
        "items": {"enum": [1, 2, 3, 4]},
        "uniqueItems": True,
        "minItems": 2,
        "maxItems": 3,
    },
    "contains": {
        "title": "C",
        "type": "array",
        "items": {"enum": [1, 2]},
        "contains": {"const": 1},
        "minItems": 1,
        "maxItems": 4,
    },
    "impossible": {
        "title": "I",
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 5, "maximum": 3}},
        "required": ["a"],
    },
    "dangling reference": {
        "title": "R",
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Missing"}},
    },
    "anchor": {
        "title": "A",
        "type": "object",
        "properties": {"at": {"$ref": "#point"}},
        "required": ["at"],
        "$defs": {"Point": {"$anchor": "point", **_POINT}},
    },
    "names": {
        "title": "N",
        "type": "object",
        "propertyNames": {"enum": ["a", "b"]},
        "additionalProperties": {"type": "integer"},
    },
    "function": {"name": "move", "description": "Move.", "parameters": _POINT},
    "tool": {"type": "function", "function": {"name": "move", "parameters": _POINT}},
    "anthropic": {"name": "move", "description": "Move.", "input_schema": _POINT},
}
