"""The keywords of JSON Schema as data: their values, and which ones no engine enforces. Pure."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal[
    "schema", "schemas", "map", "count", "number", "step", "text", "texts", "flag", "any"
]

KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), "schemas"),
    **dict.fromkeys(("not", "if", "then", "else", "contains", "propertyNames"), "schema"),
    **dict.fromkeys(("additionalProperties", "additionalItems"), "schema"),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), "schema"),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), "map"),
    **dict.fromkeys(("$defs", "definitions"), "map"),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), "count"),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), "count"),
    **dict.fromkeys(("minimum", "maximum"), "number"),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), "number"),
    **dict.fromkeys(("pattern", "format", "$ref"), "text"),
    "multipleOf": "step",
    "required": "texts",
    "uniqueItems": "flag",
}
"""What the value of a keyword must be; ``items``, ``type`` and ``enum`` are checked by hand."""

ANNOTATIONS: Final = ("title", "description", "default", "examples")
"""Keywords that are sent because a model may read them; they allow and forbid nothing."""

CHECKED: Final[dict[str, str]] = {
    "not": "no grammar can exclude",
    "if": "no grammar has conditions",
    "then": "no grammar has conditions",
    "else": "no grammar has conditions",
    "contains": "no grammar looks back at earlier items",
    "minContains": "no grammar looks back at earlier items",
    "maxContains": "no grammar looks back at earlier items",
    "uniqueItems": "no grammar looks back at earlier items",
    "dependentRequired": "no grammar looks back at earlier properties",
    "dependentSchemas": "no grammar looks back at earlier properties",
    "dependencies": "no grammar looks back at earlier properties",
    "unevaluatedProperties": "no grammar looks back at earlier properties",
    "unevaluatedItems": "no grammar looks back at earlier items",
    "$dynamicRef": "llama.cpp does not know it",
    "$recursiveRef": "llama.cpp does not know it",
}
"""Keywords that no engine enforces, each with the reason."""

OF_TYPE: Final[dict[str, tuple[str, ...]]] = {
    "object": (
        *("properties", "required", "additionalProperties", "patternProperties"),
        *("propertyNames", "minProperties", "maxProperties"),
    ),
    "array": ("items", "prefixItems", "additionalItems", "minItems", "maxItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""Keywords that concern values of one type only."""

TYPES: Final = ("object", "array", "string", "number", "boolean", "null")
"""All types of JSON; ``integer`` is a ``number``."""

SHOWN: Final = (
    *("multipleOf", "uniqueItems", "minProperties", "maxProperties", "format", "deprecated"),
    *("minContains", "maxContains", "dependentRequired"),
)
"""Keywords that llama.cpp's grammar ignores, and that a model can read in a tool's parameters."""

ENFORCED_FORMATS: Final = ("date", "time", "date-time", "uuid")
"""Formats that both engines have a grammar for."""

_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM: Final = "[A-Za-z0-9_+-]"
_HEX: Final = "[0-9A-Fa-f]{1,4}"
_IPV6: Final = "|".join(
    [f"({_HEX}:){{7}}{_HEX}", f"({_HEX}:){{1,7}}:", f":(:{_HEX}){{1,7}}", "::"]
    + [f"({_HEX}:){{1,{left}}}(:{_HEX}){{1,{7 - left}}}" for left in range(1, 7)]
)
_PATH: Final = "[A-Za-z0-9._~%!$&'()*+,;=:@/-]"
_UUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-%d[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
FORMAT_PATTERNS: Final[dict[str, str]] = {
    "ipv4": rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$",
    "email": (rf"^{_ATOM}{{1,32}}(\.{_ATOM}{{1,16}}){{0,3}}@({_LABEL}\.){{1,4}}[A-Za-z]{{2,16}}$"),
    "hostname": rf"^({_LABEL}\.){{0,4}}{_LABEL}$",
    "ipv6": f"^({_IPV6})$",
    "uri": (
        rf"^[a-z][a-z0-9+.-]{{1,15}}://({_LABEL}\.){{0,4}}{_LABEL}(:[0-9]{{1,4}})?"
        rf"(/{_PATH}{{0,200}})?(\?{_PATH}{{0,200}})?(#{_PATH}{{0,60}})?$"
    ),
    "duration": (
        "^P([0-9]{1,6}D(T[0-9]{1,6}[HMS])?|T[0-9]{1,6}[HM]"
        "|T([0-9]{1,6}H)?([0-9]{1,6}M)?[0-9]{1,6}S)$"
    ),
    **{f"uuid{version}": _UUID % version for version in range(1, 9)},
}
"""Formats that are sent as a pattern: it matches values of the format only, if not all of them."""
