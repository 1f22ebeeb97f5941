"""Make the schema of a tool's arguments of any JSON schema. Pure.

A tool's arguments are a JSON object. A schema of something else becomes the one property ``value``
of an object:

    {"type": "array", …} ─▶ {"type": "object", "properties": {"value": {"type": "array", …}}, …}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

VALUE = "value"
"""The property that has the value, in arguments that are made of something else."""

# Keywords whose values are no schemas, but data in which every key is a name.
_DATA = frozenset({"const", "enum", "default", "examples", "required", "dependentRequired"})
# Keywords whose values map names of the user's to schemas.
_NAMED = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)
_DEEPEST = 32  # references that lead to each other are followed so far
_DEFINITIONS = ("$defs", "definitions")
_OF_OBJECTS = frozenset(
    {"properties", "patternProperties", "additionalProperties", "minProperties", "required"}
)


def is_object(schema: Any) -> bool:
    """Return whether every value that matches ``schema`` is a JSON object, as far as can be seen.

    Args:
        schema: a whole JSON schema; its references are followed.
    """
    return _is_object(schema, schema, 0)


def _is_object(schema: Any, root: Any, depth: int) -> bool:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return False

    def each(parts: Any) -> Any:
        return (_is_object(part, root, depth + 1) for part in parts or ())

    if kind := schema.get("type"):
        return kind in ("object", ["object"])
    if isinstance(reference := schema.get("$ref"), str):
        return _is_object(resolved(reference, root), root, depth + 1)
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return all(isinstance(value, Mapping) for value in values)
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return all(each(parts)) or any(each(schema.get("allOf")))
    # Without a type other values match as well, but nobody who names properties means them.
    return not _OF_OBJECTS.isdisjoint(schema) or any(each(schema.get("allOf")))


def resolved(reference: str, root: Any) -> Any:
    """Return what ``reference``, a JSON pointer after ``#``, points to in ``root``, or ``None``."""
    if not reference.startswith("#"):
        return None
    found = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def with_subschemas(
    schema: Mapping[str, Any], change: Callable[[Any], Any], *, definitions: bool = True
) -> dict[str, Any]:
    """Return a copy of ``schema`` in which ``change`` has replaced the subschemas one level below.

    Args:
        schema: a JSON schema.
        change: gets a subschema (a mapping, or true or false), returns another.
        definitions: whether those in ``$defs`` and ``definitions`` are changed too.
    """
    return {
        key: _changed(key, value, change) if definitions or key not in _DEFINITIONS else value
        for key, value in schema.items()
    }


def _changed(key: str, value: Any, change: Callable[[Any], Any]) -> Any:
    if key in _DATA:
        return value
    if key in _NAMED and isinstance(value, Mapping):
        # Draft 7's dependencies may be lists of names.
        return {n: v if isinstance(v, list) else change(v) for n, v in value.items()}
    if isinstance(value, list):
        return [change(each) if isinstance(each, Mapping) else each for each in value]
    return change(value) if isinstance(value, Mapping) else value


def as_arguments(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return a schema for the arguments of a tool, and whether the value is its one property.

    Args:
        schema: a JSON schema of any values.

    Returns:
        ``schema`` itself and ``False``, if its values are objects. Else the schema of an object
        whose property ``VALUE`` has the value, and ``True``; definitions stay at the top.
    """
    if is_object(schema):
        return dict(schema), False
    moved = _moved(schema)
    definitions = {key: moved.pop(key) for key in _DEFINITIONS if key in moved}
    wrapper = {
        "type": "object",
        "properties": {VALUE: moved},
        "required": [VALUE],
        "additionalProperties": False,
    }
    return {**wrapper, **definitions}, True


def _moved(schema: Any) -> Any:
    """``schema`` with references that are right when it is a property of the whole."""
    if not isinstance(schema, Mapping):
        return schema
    copy = with_subschemas(schema, _moved)
    reference: Any = copy.get("$ref")
    kept = tuple(f"#/{key}/" for key in _DEFINITIONS)
    local = isinstance(reference, str) and f"{reference}/".startswith("#/")
    if local and not reference.startswith(kept):
        copy["$ref"] = f"#/properties/{VALUE}{reference[1:]}"
    return copy


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with its definitions in place of the references to them.

    Models read such a schema better, and many chat templates show nothing but the ``type`` of a
    property. A schema that contains itself, or has a reference to anything else, is returned as it
    is.
    """
    try:
        whole = _inlined(schema, schema, ())
    except RecursionError:
        return dict(schema)
    return {key: value for key, value in whole.items() if key not in _DEFINITIONS}


def _inlined(schema: Any, root: Any, above: tuple[str, ...]) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = resolved(reference, root)
        if reference in above or target is None or len(above) > _DEEPEST:
            raise RecursionError
        found = _inlined(target, root, (*above, reference))
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if not beside:
            return found
        if not isinstance(found, Mapping) or not _NOTES.issuperset(beside):
            raise RecursionError  # keywords beside a reference hold as well as those behind it
        return {**found, **beside}
    return with_subschemas(schema, lambda part: _inlined(part, root, above), definitions=False)


# Keywords that say something about a value and demand nothing of it.
_NOTES = frozenset({"title", "description", "default", "examples", "deprecated"} | {*_DEFINITIONS})


def without_titles(schema: Any) -> Any:
    """Return ``schema`` without the titles of its parts, which say what the names say."""
    if not isinstance(schema, Mapping):
        return schema
    copy = with_subschemas(schema, without_titles)
    if isinstance(copy.get("title"), str):
        del copy["title"]
    return copy


def closed(schema: Any) -> Any:
    """Return ``schema`` with no other properties allowed than those that it names."""
    if not isinstance(schema, Mapping):
        return schema
    copy = with_subschemas(schema, closed)
    if isinstance(copy.get("properties"), Mapping):
        copy["additionalProperties"] = False
    return copy
