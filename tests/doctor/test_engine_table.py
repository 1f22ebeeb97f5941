"""Recorded machines and engines: the table is up to date, and no usable card is idle silently."""

from __future__ import annotations

import pytest

from tests.support.engine_table import ENGINES, FILE, Row, rows
from tests.support.gpu_trees import MACHINES


@pytest.fixture(scope="module")
def table() -> list[Row]:
    return list(rows())


def test_the_file_is_up_to_date(table: list[Row]) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert text.endswith("".join(row.line for row in table)), (
        "python -m tests.support.engine_table writes it"
    )
    assert len(table) == len(MACHINES) * len(ENGINES)


def test_no_row_leaves_a_usable_card_idle_silently(table: list[Row]) -> None:
    for row in table:
        if row.gpu == "idle":
            assert row.setup != "nothing to do", row
        if row.gpu == "used":
            assert row.setup == "nothing to do", row


def test_an_engine_that_reaches_the_card_is_always_chosen(table: list[Row]) -> None:
    for row in table:
        if row.gpu == "used":
            assert row.chosen != "cpu build", row
