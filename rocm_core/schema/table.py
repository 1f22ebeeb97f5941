"""What becomes of each keyword, engine by engine, as data. Pure.

``python -m scripts.generate`` writes ``docs/reference/schemas.md`` from ``ROWS``, and the tests
push a model of random weights against the grammars of both engines for each row.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

Way = Literal["grammar", "rewritten", "checked", "refused"]


class Row(NamedTuple):
    """What happens to one kind of constraint.

    Attributes:
        keyword: the keyword, or keywords beside each other.
        example: a schema that has it.
        how: what is sent, or why it is not.
        binary: what a ``llama-server`` program does, in chats and completions.
        embedded: what ``xllamacpp`` does in chats.
        completion: what ``xllamacpp`` does with ``json_schema=`` of a completion (LLGuidance).
    """

    keyword: str
    example: Any
    how: str
    binary: Way
    embedded: Way
    completion: Way


def _row(keyword: str, way: Way, example: Any, how: str, completion: Way | None = None) -> Row:
    return Row(keyword, example, how, way, way, completion or way)


_BOOLEAN: Final = {"type": "boolean"}
_INTEGER: Final = {"type": "integer"}
_NODE: Final = {
    "type": "object",
    "properties": {"done": _BOOLEAN, "next": {"$ref": "#/$defs/node"}},
    "required": ["done"],
}
_PAIR: Final = [_BOOLEAN, _INTEGER]


def _object(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object with these properties, all of them required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


ROWS: Final[tuple[Row, ...]] = (
    _row("`type`", "grammar", {"type": ["boolean", "null"]}, "one type or several"),
    _row("`{}`, `true`", "rewritten", {}, "all six types by name: the engines read `{}` apart"),
    _row("`const`", "grammar", {"const": {"a": [1, "é"]}}, "any JSON value"),
    _row("`enum`", "grammar", {"enum": ["a", 1, None, ["b"]]}, "any JSON values"),
    _row("`anyOf`", "grammar", {"anyOf": [_BOOLEAN, _INTEGER]}, "each alternative"),
    _row(
        "`anyOf` beside other keywords",
        "rewritten",
        {**_object(a=_BOOLEAN), "anyOf": [_object(b=_INTEGER), _object(c=_BOOLEAN)]},
        "the others are moved into each alternative, up to 64 of them",
    ),
    _row(
        "`oneOf` of alternatives that differ in type or in a `const`",
        "rewritten",
        {"oneOf": [_object(kind={"const": "a"}), _object(kind={"const": "b"}, b=_BOOLEAN)]},
        "`anyOf`",
    ),
    _row(
        "`oneOf` of others",
        "checked",
        {"oneOf": [{"type": "integer", "minimum": 3}, {"type": "integer", "maximum": 9}]},
        "`anyOf`; that no second alternative fits is checked",
    ),
    _row("`allOf`", "rewritten", {"allOf": [_INTEGER, {"minimum": 20}]}, "joined into one schema"),
    _row("`not`", "checked", {"type": "integer", "not": {"const": 3}}, "no grammar can exclude"),
    _row(
        "`if`, `then`, `else`",
        "checked",
        {"type": "integer", "if": {"minimum": 5}, "then": {"maximum": 7}},
        "no grammar has conditions",
    ),
    _row(
        "`$ref`, `$defs`",
        "rewritten",
        {"$ref": "#/$defs/node", "$defs": {"node": _NODE}},
        "the schema itself at the root, references below it; recursion is kept",
    ),
    _row(
        '`$ref: "#"`, `~1`, `$anchor`',
        "rewritten",
        {"$ref": "#flag", "$defs": {"a/b": {"$anchor": "flag", **_BOOLEAN}}},
        "a reference to a definition with a plain name",
    ),
    _row(
        "`$ref` beside other keywords",
        "rewritten",
        {"$ref": "#/$defs/n", "minimum": 5, "$defs": {"n": {**_INTEGER, "maximum": 42}}},
        "joined into one schema",
    ),
    _row(
        "`$ref` to another document",
        "refused",
        {"$ref": "https://example.com/s"},
        "nothing is fetched: put the definition under `$defs`",
    ),
    _row(
        "`$dynamicRef`",
        "checked",
        {"$dynamicRef": "#node", "$defs": {"n": {"$dynamicAnchor": "node", **_BOOLEAN}}},
        "llama.cpp does not know it",
    ),
    _row(
        "a schema that allows nothing",
        "refused",
        {"type": "integer", "minimum": 5, "maximum": 3},
        "no answer could fit",
    ),
    _row(
        "a keyword's value of a wrong kind",
        "refused",
        {"type": "string", "minLength": "3"},
        "the message says what belongs there",
    ),
    # ---- numbers ---------------------------------------------------------------------------
    _row(
        "integer: `minimum` and `maximum`",
        "grammar",
        {"type": "integer", "minimum": -12, "maximum": 2005},
        "bounds of up to 12 digits",
    ),
    _row(
        "integer: one bound",
        "rewritten",
        {"type": "integer", "minimum": 2000},
        "the other bound is added where llama.cpp needs it: at most 12 digits are written then",
    ),
    _row(
        "integer: `exclusiveMinimum`, `exclusiveMaximum`, fractions",
        "rewritten",
        {"type": "integer", "minimum": 3, "exclusiveMinimum": 7.5, "exclusiveMaximum": 300},
        "`minimum` and `maximum`",
    ),
    _row(
        "integer: a bound of more than 12 digits",
        "checked",
        {"type": "integer", "minimum": 0, "maximum": 10**13},
        "never sent",
    ),
    _row(
        "integer: `multipleOf` in a range with up to 64 multiples",
        "rewritten",
        {"type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 5},
        "`enum`",
    ),
    _row(
        "`multipleOf`",
        "checked",
        {"type": "integer", "multipleOf": 7},
        "llama.cpp's grammar cannot count in steps; LLGuidance can",
        "grammar",
    ),
    _row(
        "number: bounds",
        "checked",
        {"type": "number", "minimum": 0.25, "maximum": 0.75},
        "llama.cpp's grammar of a number with a fraction has no bounds; LLGuidance has",
        "grammar",
    ),
    # ---- strings ---------------------------------------------------------------------------
    _row(
        "`minLength`, `maxLength`",
        "grammar",
        {"type": "string", "minLength": 2, "maxLength": 5},
        "up to 999",
    ),
    _row(
        "`minLength`, `maxLength` above 999",
        "checked",
        {"type": "string", "maxLength": 5000},
        "engines refuse 2,000 repetitions; of `minLength` the first 999 are sent",
    ),
    _row(
        "`pattern`",
        "rewritten",
        {"type": "string", "pattern": r"^\d{3}-\w[^x](a|b)?\.$"},
        "`\\d`, `\\w`, `\\s`, `.` and `[^x]` as classes of characters; a string that needs an "
        "escape (quotes, backslashes, control characters) is not written",
    ),
    _row(
        "`pattern` without `^` or `$`",
        "rewritten",
        {"type": "string", "pattern": "^a|^b"},
        "anything may stand there",
    ),
    _row(
        "`pattern` of one repeated class beside a length",
        "rewritten",
        {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
        "one pattern, `^[a-z]{2,4}$`",
    ),
    _row(
        "`pattern` beside a length or `format`",
        "checked",
        {"type": "string", "pattern": "^(ab)+$", "maxLength": 5},
        "the pattern is sent, the others are checked",
    ),
    _row(
        "`pattern` with lookarounds, back references, `\\b`, flags, `\\p`",
        "checked",
        {"type": "string", "maxLength": 9, "pattern": "^(?=a)"},
        "no grammar can look around",
    ),
    _row("`format`: time, uuid", "grammar", {"type": "string", "format": "uuid"}, "as it is"),
    _row(
        "`format`: date, date-time",
        "checked",
        {"type": "string", "format": "date"},
        "the grammar of the format; that the month has this day is checked",
    ),
    _row(
        "`format`: uuid1 to uuid8, ipv4, ipv6, email, hostname, uri, duration",
        "rewritten",
        {"type": "string", "format": "ipv4"},
        "a pattern of the usual forms",
    ),
    _row(
        "`format`: others",
        "checked",
        {"type": "string", "format": "iri", "maxLength": 9},
        "the engines have no grammar for it",
    ),
    # ---- lists -----------------------------------------------------------------------------
    _row("`items`", "grammar", {"type": "array", "items": _BOOLEAN}, "as it is"),
    _row("`items: false`", "rewritten", {"type": "array", "items": False}, "a list without items"),
    _row(
        "`minItems`, `maxItems`",
        "grammar",
        {"type": "array", "items": _BOOLEAN, "minItems": 1, "maxItems": 3},
        "up to 999",
    ),
    _row(
        "`minItems`, `maxItems` above 999",
        "checked",
        {"type": "array", "items": _BOOLEAN, "maxItems": 5000},
        "engines refuse 2,000 repetitions; of `minItems` the first 999 are sent",
    ),
    _row(
        "`minItems`, `maxItems` without `items`",
        "rewritten",
        {"type": "array", "maxItems": 1},
        "with items of any type",
    ),
    _row(
        "`prefixItems` of one length",
        "grammar",
        {"type": "array", "prefixItems": _PAIR, "minItems": 2, "maxItems": 2},
        "as it is",
    ),
    _row(
        "`prefixItems` without a length",
        "rewritten",
        {"type": "array", "prefixItems": _PAIR},
        "all of them and no more are written",
    ),
    _row(
        "`prefixItems` beside `items`, up to 16 lengths",
        "rewritten",
        {"type": "array", "prefixItems": [_BOOLEAN], "items": _INTEGER, "maxItems": 3},
        "one list for each length",
    ),
    _row(
        "`prefixItems` beside `items`, any length",
        "checked",
        {"type": "array", "prefixItems": [_BOOLEAN], "items": _INTEGER},
        "items of any of the schemas",
    ),
    _row(
        "`uniqueItems`",
        "checked",
        {"type": "array", "items": _BOOLEAN, "uniqueItems": True},
        "no grammar looks back",
    ),
    _row(
        "`contains`, `minContains`, `maxContains`",
        "checked",
        {"type": "array", "items": _BOOLEAN, "contains": {"const": True}},
        "no grammar looks back",
    ),
    # ---- objects ---------------------------------------------------------------------------
    _row(
        "`properties`, `required`",
        "grammar",
        _object(a=_BOOLEAN, b=_INTEGER),
        "required ones first, each in the order of the schema",
    ),
    _row(
        "`required` without a property",
        "rewritten",
        {**_object(a=_BOOLEAN), "required": ["a", "b"]},
        "a property of any type, or of `additionalProperties`",
    ),
    _row(
        "a property that is `true` or `false`",
        "rewritten",
        {"type": "object", "properties": {"a": True, "b": False}, "required": ["a"]},
        "all types by name, or no such property",
    ),
    _row(
        "properties named `$ref`, `$defs` or with an empty name",
        "checked",
        {"type": "object", "properties": {"$ref": _BOOLEAN, "a": _BOOLEAN}, "required": ["a"]},
        "llama.cpp takes these names for something else: allowed as further properties",
    ),
    _row(
        "`additionalProperties`",
        "grammar",
        {"type": "object", "additionalProperties": _INTEGER},
        "as it is; without it, in chats and on `llama-server`, none are written",
    ),
    _row(
        "`additionalProperties` beside names such as `tags[]` or `a-b`",
        "rewritten",
        {**_object(**{"a-b": _BOOLEAN}), "additionalProperties": _INTEGER},
        "none are written: llama.cpp builds character classes of the names",
    ),
    _row(
        "`patternProperties`",
        "checked",
        {"type": "object", "patternProperties": {"^x": _INTEGER}},
        "properties of any name with the schema of any pattern",
    ),
    _row(
        "`propertyNames` that are listed",
        "rewritten",
        {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": _INTEGER},
        "`properties` of these names",
    ),
    _row(
        "`propertyNames`",
        "checked",
        {"type": "object", "propertyNames": {"maxLength": 3}, "additionalProperties": _INTEGER},
        "a grammar does not match names with schemas",
    ),
    _row(
        "`minProperties` of all properties",
        "rewritten",
        {"type": "object", "properties": {"a": _BOOLEAN, "b": _BOOLEAN}, "minProperties": 2},
        "`required`",
    ),
    _row(
        "`minProperties`, `maxProperties`",
        "checked",
        {"type": "object", "additionalProperties": _INTEGER, "minProperties": 1},
        "no grammar counts properties",
    ),
    _row(
        "more than 100 optional properties",
        "checked",
        {"type": "object", "properties": {f"p{number}": _BOOLEAN for number in range(101)}},
        "any object: the grammar would grow with their square",
    ),
    _row(
        "`dependentRequired`, `dependentSchemas`, `dependencies`",
        "checked",
        {**_object(a=_BOOLEAN), "dependentRequired": {"a": ["b"]}},
        "no grammar looks back",
    ),
    _row(
        "`unevaluatedProperties`, `unevaluatedItems`",
        "checked",
        {**_object(a=_BOOLEAN), "unevaluatedProperties": False},
        "no grammar looks back",
    ),
)
