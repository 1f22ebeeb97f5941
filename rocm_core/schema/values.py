"""Check that keywords have values of the right kind, and that values can be sent. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from rocm_core.errors import ConfigError
from rocm_core.schema.keywords import KINDS, TYPES

# In a value, llama.cpp takes these names for keywords (``resolve_refs`` and
# ``hoist_defs_to_root`` in ``common/json-schema-to-grammar.cpp``).
TAKEN_FOR_KEYWORDS = ("$ref", "$defs")

_EXPECTED = {
    "schema": "a schema (an object or a boolean)",
    "schemas": "a list of schemas that is not empty",
    "map": "an object of schemas",
    "count": "an integer from 0 on",
    "number": "a finite number",
    "step": "a finite number above 0",
    "text": "a text",
    "texts": "a list of texts",
    "flag": "true or false",
}
_LARGEST_INTEGER = 2**63  # what JSON parsers of engines keep exactly


_PLAIN = {"flag": bool, "text": str}


# What these keywords hold are values of any kind, ``null`` among them.
_HOLD_VALUES = frozenset({"const", "enum", "default", "examples"})


def without_nulls(schema: Any) -> Any:
    """Return a schema without keywords that are ``null``.

    Serializers write ``null`` for a keyword that was not given; JSON Schema allows none.
    """
    if isinstance(schema, list):
        return [without_nulls(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: value if key in _HOLD_VALUES else without_nulls(value)
        for key, value in schema.items()
        if value is not None or key in _HOLD_VALUES - {"enum", "examples"}
    }


class Refuser(Protocol):
    """Whatever words an error for a path and a keyword."""

    def refusal(self, path: str, keyword: str, reason: str, remedy: str) -> ConfigError:
        """Return the error."""
        ...


def check_keywords(schema: Any, path: str, refuser: Refuser) -> None:
    """Raise unless a schema is an object whose keywords have values of the right kind.

    Raises:
        ConfigError: it is not; the message names path, keyword and what belongs there.
    """
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise refuser.refusal(path, "schema", f"is {schema!r}", "Give an object or a boolean.")
    for keyword, value in schema.items():
        expected = _misfit(keyword, value)
        if expected:
            raise refuser.refusal(path, keyword, f"is {value!r}", f"It must be {expected}.")


def _misfit(keyword: str, value: Any) -> str:
    """Return what a keyword's value must be, if it is not that."""
    if keyword == "type":
        return "" if _is_type(value) else f"one of {', '.join((*TYPES, 'integer'))}, or a list"
    if keyword == "enum":
        return "" if isinstance(value, list) and value else "a list of values that is not empty"
    if keyword == "items":
        fits = _is_schema(value) or (isinstance(value, list) and all(map(_is_schema, value)))
        return "" if fits else _EXPECTED["schema"]
    kind = KINDS.get(keyword, "any")
    return "" if kind == "any" or _is_kind(kind, value) else _EXPECTED[kind]


def _is_kind(kind: str, value: Any) -> bool:
    if kind in ("schemas", "texts"):
        of = _is_schema if kind == "schemas" else lambda each: isinstance(each, str)
        return isinstance(value, list) and all(map(of, value)) and (kind == "texts" or bool(value))
    if kind == "map":
        return isinstance(value, Mapping) and all(map(_is_schema, value.values()))
    if kind in ("count", "number"):
        return _is_number(value) and (kind == "number" or (value >= 0 and value == int(value)))
    if kind == "step":
        return _is_number(value) and value > 0
    return _is_schema(value) if kind == "schema" else isinstance(value, _PLAIN[kind])


def _is_type(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(each in (*TYPES, "integer") for each in listed)


def _is_schema(value: Any) -> bool:
    return isinstance(value, Mapping | bool)


def _is_number(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)  # of any size
    return whole or (isinstance(value, float) and math.isfinite(value))


def sendable(value: Any) -> bool:
    """Return whether an engine reads a value as what it is."""
    if isinstance(value, Mapping):
        return not any(name in value for name in TAKEN_FOR_KEYWORDS) and all(
            map(sendable, value.values())
        )
    if isinstance(value, list):
        return all(map(sendable, value))
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < _LARGEST_INTEGER
    return not isinstance(value, str) or not any(0xD800 <= ord(char) <= 0xDFFF for char in value)
