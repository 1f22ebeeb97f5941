"""Random JSON schemas and values for them, as hypothesis strategies."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

_NAMES: Final = st.sampled_from(["a", "b", "x", "$ref", "", "a-b"])
_TYPES: Final = st.sampled_from(
    ["object", "array", "string", "number", "integer", "boolean", "null"]
)
_NUMBERS: Final = st.integers(-12, 12) | st.sampled_from([0.5, -2.5, 10**13, 2000, -2000, 10])
_COUNTS: Final = st.integers(0, 4)
_SIMPLE: Final = st.booleans() | st.sampled_from(
    [
        *({}, {"type": "string"}, {"type": "integer"}, {"type": "null"}, {"type": "boolean"}),
        *({"$ref": "#"}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b~1c"}),
    ]
)

VALUES: Final[Strategy] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.sampled_from([0.5, 2.0, 10**13, -2.5, "", "a", "ab", "x1", "foo", 'a"b']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "x", "$ref", ""]), inner, max_size=3)
    ),
    max_leaves=5,
)
"""Values that some of ``SCHEMAS`` allow."""


def _keywords(inner: Strategy) -> dict[str, Strategy]:
    some = st.lists(inner, min_size=1, max_size=3)
    patterns = ["a", "^a", "b$", r"^\w+$", "^[^a]*$", "", "^(a|b)?$", r"\d{2,}", "(?=a)"]
    return {
        "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=3, unique=True),
        "properties": st.dictionaries(_NAMES, inner, max_size=3),
        "required": st.lists(_NAMES, max_size=2, unique=True),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "x"]), inner, max_size=2),
        "prefixItems": some,
        "uniqueItems": st.booleans(),
        "pattern": st.sampled_from(patterns),
        "maxLength": _COUNTS | st.just(5000),
        "format": st.sampled_from(["date", "ipv4", "weird"]),
        "multipleOf": st.sampled_from([1, 2, 0.5, 3, 1.5]),
        "enum": st.lists(VALUES, min_size=1, max_size=4),
        "const": VALUES,
        "title": st.just("T"),
        "default": VALUES,
        **dict.fromkeys(("anyOf", "oneOf", "allOf"), some),
        **dict.fromkeys(("additionalProperties", "propertyNames", "items", "contains"), inner),
        **dict.fromkeys(("not", "if", "then"), inner),
        **dict.fromkeys(("minProperties", "maxProperties", "minItems", "maxItems"), _COUNTS),
        "minLength": _COUNTS,
        **dict.fromkeys(("minimum", "maximum"), _NUMBERS),
        **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _NUMBERS),
    }


def _with_keywords(inner: Strategy) -> Strategy:
    known = _keywords(inner)
    return st.lists(st.sampled_from(sorted(known)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: known[name] for name in names})
    )


_PARTS: Final = st.recursive(_SIMPLE, _with_keywords, max_leaves=6)


def _whole(schema: Any, first: Any, second: Any) -> Any:
    defined = {"$defs": {"a": first, "b/c": second}}
    return {**schema, **defined} if isinstance(schema, dict) else schema


SCHEMAS: Final[Strategy] = st.builds(_whole, _PARTS, _PARTS, _PARTS)
"""Schemas of draft 2020-12; some refer to themselves, some allow nothing."""
