"""Bounds on what reaches an engine's grammar. Pure.

llama.cpp expands a repetition into one rule per element and refuses 2,000 or more of them
(``MAX_REPETITION_THRESHOLD`` in ``src/llama-grammar.cpp``), tries every order of optional
properties (``_build_object_rule`` in ``common/json-schema-to-grammar.cpp``), and writes one digit
range after the other for the bounds of an integer. We stay well below what it takes.
"""

from __future__ import annotations

from typing import Final

DIGITS: Final = 12
"""Digits of a number's bound; a longer one is only checked afterwards."""
LARGEST: Final = 10**DIGITS - 1

REPEATS: Final = 999
"""Elements of one repetition: characters of a string, items of a list."""
ALL_REPEATS: Final = 20_000
"""Elements of all repetitions of one schema together."""

OPTIONAL_PROPERTIES: Final = 100
"""Optional properties of one object: the grammar grows with their square."""

DEPTH: Final = 64
"""Schemas inside each other, as they are written; recursion by ``$ref`` does not count."""
SCHEMAS: Final = 5_000
"""Subschemas of the compiled schema, its definitions included."""

VALUES: Final = 2_000
"""Values of one ``enum``: the grammar tries all of them at once."""
ALTERNATIVES: Final = 64
"""Alternatives that two ``anyOf`` beside each other may become."""
TUPLE_LENGTHS: Final = 16
"""Lengths of a list that are written out one by one."""
MULTIPLES: Final = 64
"""Multiples of an integer in its range that are written out one by one."""
