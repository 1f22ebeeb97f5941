"""Join schemas that hold at once into one. Pure.

llama.cpp's grammar reads one keyword of several: it forgets what stands beside ``$ref`` and
``anyOf``, and knows ``allOf`` of objects only (``visit`` in
``common/json-schema-to-grammar.cpp``). Schemas are joined keyword by keyword; what is inside a
property or an item becomes an ``allOf``, to be joined when it is its turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from rocm_core.schema.limits import ALTERNATIVES

Flat = dict[str, Any]
Note = Callable[[str, str], None]

_HIGHEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_LOWEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_SECOND: Final = "a grammar has one of it at a time"


def merged(first: Flat, second: Flat, note: Note) -> Flat | None:
    """Return a schema of the values that both schemas allow.

    Args:
        first: a schema without ``$ref``, ``allOf`` and ``oneOf``.
        second: another one.
        note: is told of keywords that could not be joined: the keyword and why.

    Returns:
        ``None`` if no value is allowed.
    """
    result = {**second, **first}
    if "type" in first and "type" in second:
        types = common_types(types_of(first), types_of(second))
        if not types:
            return None
        result["type"] = types[0] if len(types) == 1 else types
    _values(first, second, result)
    for keyword in _HIGHEST:
        if keyword in first and keyword in second:
            result[keyword] = max(first[keyword], second[keyword])
    for keyword in _LOWEST:
        if keyword in first and keyword in second:
            result[keyword] = min(first[keyword], second[keyword])
    for keyword in ("pattern", "format", "multipleOf"):
        if keyword in first and keyword in second and first[keyword] != second[keyword]:
            note(keyword, _SECOND)
    _objects(first, second, result)
    _arrays(first, second, result)
    if "anyOf" in first and "anyOf" in second:
        pairs = [_both(a, b) for a in first["anyOf"] for b in second["anyOf"]]
        if len(pairs) <= ALTERNATIVES:
            result["anyOf"] = pairs
        else:
            note("anyOf", f"together they are more than {ALTERNATIVES} alternatives")
    return None if result.get("enum") == [] else result


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema names, as a list."""
    given = schema.get("type", [])
    return [given] if isinstance(given, str) else list(given)


def common_types(first: list[str], second: list[str]) -> list[str]:
    """Return the types of both lists; an integer is a number."""
    found = [kind for kind in first if kind in second]
    found += ["integer" for _ in (0,) if "integer" in first and "number" in second]
    found += ["integer" for _ in (0,) if "integer" in second and "number" in first]
    return list(dict.fromkeys(found))


def canonical(value: Any) -> str:
    """Return a text that is equal for values that are equal in JSON."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _both(first: Any, second: Any) -> Any:
    if first is False or second is False:
        return False
    if first in (True, {}) or first == second:
        return second
    return first if second in (True, {}) else {"allOf": [first, second]}


def _values(first: Flat, second: Flat, result: Flat) -> None:
    lists = [
        [schema["const"]] if "const" in schema else schema["enum"]
        for schema in (first, second)
        if "const" in schema or "enum" in schema
    ]
    if len(lists) == 2:
        other = {canonical(value) for value in lists[1]}
        common = [value for value in lists[0] if canonical(value) in other]
        result.pop("const", None)
        result["enum"] = common


def _objects(first: Flat, second: Flat, result: Flat) -> None:
    if "properties" in first or "properties" in second:
        mine, theirs = first.get("properties", {}), second.get("properties", {})
        result["properties"] = {
            name: _both(_property(first, name), _property(second, name))
            for name in dict.fromkeys([*mine, *theirs])
        }
    if "required" in first and "required" in second:
        result["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    for keyword in ("additionalProperties", "propertyNames"):
        if keyword in first and keyword in second:
            result[keyword] = _both(first[keyword], second[keyword])
    if "patternProperties" in first and "patternProperties" in second:
        joined = {**second["patternProperties"], **first["patternProperties"]}
        for pattern in first["patternProperties"].keys() & second["patternProperties"].keys():
            joined[pattern] = _both(
                first["patternProperties"][pattern], second["patternProperties"][pattern]
            )
        result["patternProperties"] = joined


def _property(schema: Flat, name: str) -> Any:
    """Return what a schema says of a property, patterns of names aside."""
    if name in schema.get("properties", {}):
        return schema["properties"][name]
    if "patternProperties" in schema:
        return True  # decided where patterns are matched with names
    return schema.get("additionalProperties", True)


def _arrays(first: Flat, second: Flat, result: Flat) -> None:
    if not {"prefixItems", "items"} & first.keys() & second.keys() and not (
        "prefixItems" in result and "items" in result
    ):
        return
    mine, theirs = first.get("prefixItems", []), second.get("prefixItems", [])
    rest = (first.get("items", True), second.get("items", True))
    longest = max(len(mine), len(theirs))
    if longest:
        result["prefixItems"] = [
            _both(
                mine[at] if at < len(mine) else rest[0],
                theirs[at] if at < len(theirs) else rest[1],
            )
            for at in range(longest)
        ]
    if "items" in result:
        result["items"] = _both(*rest)
