"""Each row of the table holds: what compiles to what, and what the engines' grammars allow."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest

from rocm_core import TextModel
from rocm_core.errors import ConfigError
from rocm_core.schema import compile_schema
from rocm_core.schema.table import ROWS, Row
from tests.support.schemas.walking import chats, completions, fits

_SENT = [row for row in ROWS if row.binary != "refused"]
_NEVER_SENT = "more than 12 digits"


def _named(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.keyword for row in rows])


def _of(engine: str, row: Row) -> str:
    return row.embedded if engine == "embedded" else row.binary


@_named(list(ROWS))
def test_the_example_is_treated_as_its_row_says(row: Row) -> None:
    example = copy.deepcopy(row.example)
    if row.binary == "refused":
        with pytest.raises(ConfigError, match=r"^schema"):
            compile_schema(example)
        return
    compiled = compile_schema(example)
    assert example == row.example
    assert (compiled.sent == example) == (row.binary == "grammar" or _is_sent_whole(row))
    assert bool(compiled.unenforced) == (row.binary == "checked")


def _is_sent_whole(row: Row) -> bool:
    """Whether a keyword is only checked, and sent all the same."""
    compiled = compile_schema(row.example)
    return row.binary == "checked" and compiled.sent == row.example


@_named([row for row in _SENT if _NEVER_SENT not in row.keyword])
def test_an_engine_keeps_in_a_chat_what_its_row_says(walker: TextModel, row: Row) -> None:
    answers = chats(walker, row.example)
    assert answers
    if row.binary == row.embedded != "checked":
        assert [answer for answer in answers if not fits(answer, row.example)] == []
    sent = compile_schema(row.example)
    if isinstance(row.example, Mapping) and not sent.unenforced:
        assert all(fits(answer, sent.sent) for answer in answers)


@_named([row for row in _SENT if _NEVER_SENT not in row.keyword])
def test_an_engine_keeps_in_a_completion_what_its_row_says(
    walker: TextModel, engine: str, row: Row
) -> None:
    answers = completions(walker, row.example)
    assert answers
    if (row.completion if engine == "embedded" else row.binary) != "checked":
        assert [answer for answer in answers if not fits(answer, row.example)] == []
