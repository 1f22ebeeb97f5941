"""The table itself: what its rows promise to the search and to the reader."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from rocm_core.diagnosis.table import KNOWN, STAGES, KnownFailure

if sys.version_info >= (3, 11):
    from re import _constants as tree_names  # type: ignore[attr-defined]
    from re import _parser as tree_parser  # type: ignore[attr-defined]
else:
    import sre_constants as tree_names
    import sre_parse as tree_parser

NAMES = {row.name for row in KNOWN}


def forms(nodes: Any) -> list[str]:
    """Return texts that a pattern matches: every alternative, each option with and without.

    A character of a class stands as NUL, which is in no key.
    """
    texts = [""]
    for kind, value in nodes:
        if kind is tree_names.LITERAL:
            pieces = [chr(value).lower()]
        elif kind is tree_names.SUBPATTERN:
            pieces = forms(value[-1])
        elif kind is tree_names.BRANCH:
            pieces = [text for branch in value[1] for text in forms(branch)]
        elif kind in (tree_names.MAX_REPEAT, tree_names.MIN_REPEAT):
            least, most, inner = value
            once = forms(inner)
            pieces = [text * max(least, 1) for text in once] if most else [""]
            pieces += [""] if least == 0 else []
        elif kind in (tree_names.AT, tree_names.ASSERT, tree_names.ASSERT_NOT):
            pieces = [""]
        else:
            pieces = ["\0"]
        texts = [text + piece for text in texts for piece in pieces]
        assert len(texts) < 20_000
    return texts


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.name)
def test_what_a_pattern_matches_has_one_of_its_keys(row: KnownFailure) -> None:
    assert all(key == key.lower() and len(key) >= 5 for key in row.keys)
    texts = forms(tree_parser.parse(row.pattern, re.IGNORECASE))
    assert [text for text in texts if not any(key in text for key in row.keys)] == []


def test_a_row_outranks_rows_that_there_are() -> None:
    for stage in STAGES:
        there = {row.name for row in stage.rows}
        for row in stage.rows:
            assert set(row.over) <= NAMES | {"killed", "wrong_gfx_override", "gpus_hidden"}
            assert row.name not in row.over
            circle = [one for one in stage.rows if row.name in one.over and one.name in row.over]
            assert not circle
        assert len(there) == len(stage.rows)


def test_each_stage_says_why_it_comes_first() -> None:
    assert all(stage.title and stage.outranks for stage in STAGES)
