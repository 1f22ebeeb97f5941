"""Kinds of values that a model is asked to fill in, for the tests of structured output.

    SCHEMAS            name → pydantic class, RootModel, TypedDict, dataclass, Enum or dict schema

Each module has one subject and a list ``MODELS``; ``raw`` and ``roots`` have kinds of their own.
To add a model, write its class and its line in the list: the tests run every way of asking with it,
on both engines, and want either a value that is valid or an error that names field and keyword.
"""

from __future__ import annotations

from typing import Any

from tests.support.pydantic_models import (
    aliases,
    behavior,
    collections,
    nested,
    numbers,
    other_kinds,
    raw,
    recursion,
    roots,
    scalars,
    strings,
    unions,
)

_MODULES = (
    scalars,
    numbers,
    strings,
    collections,
    unions,
    recursion,
    aliases,
    nested,
    behavior,
    roots,
    other_kinds,
)

SCHEMAS: dict[str, Any] = {
    f"{module.__name__.rpartition('.')[2]}-{model.__name__}": model
    for module in _MODULES
    for model in module.MODELS
}
SCHEMAS |= {f"raw-{name}": schema for name, schema in raw.SCHEMAS.items()}

_CHECKED: dict[str, tuple[str, ...]] = {
    "scalars": ("Days", "Lasting", "Price", "Bytes"),
    "numbers": ("Finite", "Ratio", "Positive", "Small", "Halves", "Money", "Constrained"),
    "strings": ("Searched", "Spaces", "Network", "Link", "Encoded", "Formatted"),
    "collections": ("ByNumber", "AtLeastOne", "Points", "Loose", "Scores"),
    "unions": ("Nested",),
    "recursion": ("Folder",),
    "aliases": ("Deep", "Refs", "Odd"),
    "nested": ("Job",),
    "behavior": ("Strict", "StrictFields", "Even", "Ordered"),
    "roots": ("Team", "Prices", "Json"),
    "other_kinds": ("Voyage", "Fleet"),
    "raw": (
        "map of lists",
        "pattern properties",
        "dependent",
        "not",
        "unique",
        "contains",
        "impossible",
        "dangling reference",
    ),
}

CHECKED = frozenset(f"{module}-{name}" for module, names in _CHECKED.items() for name in names)
"""Names of schemas with a rule that no grammar holds: some answers to them are refused.

Fractions with bounds, formats such as durations and addresses, a pattern beside a length, numbers
of entries of a map, dates that no month has, validators of the user's, and what looks back.
"""
