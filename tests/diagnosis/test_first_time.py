"""The figures of ``corpus/FIRST_TIME.md`` are those of the verdicts that were kept."""

from __future__ import annotations

import csv

import pytest

from tests.support.failure_logs import CORPUS, failure_logs, half_of, healthy_logs

VERDICTS = list(csv.DictReader((CORPUS / "first_judgement.csv").read_text().splitlines()))
FIGURES = (CORPUS / "FIRST_TIME.md").read_text()


@pytest.mark.parametrize(
    ("search", "halves", "column"),
    [
        ("fourth", "rules", "before"),
        ("fourth", "kept", "before"),
        ("fourth", "kept", "first"),
        ("fifth", "both", "before"),
        ("fifth", "both", "first"),
        ("sixth", "both", "before"),
        ("sixth", "both", "first"),
        ("seventh", "both", "before"),
        ("seventh", "both", "first"),
        ("eighth", "both", "first"),
        ("ninth", "both", "first"),
        ("tenth", "both", "first"),
    ],
)
def test_a_figure_is_that_of_its_verdicts(search: str, halves: str, column: str) -> None:
    told = [row for row in VERDICTS if row["search"] == search and halves in (row["half"], "both")]
    right = sum(row[column] in row["right"].split() for row in told)
    cells = f"| {halves} | {len(told)} | {right} ({100 * right / len(told):.0f} %) |"
    assert cells in FIGURES


def test_each_thread_is_in_the_corpus_and_in_its_half() -> None:
    there = {log.source for log in (*failure_logs(), *healthy_logs())}
    for row in VERDICTS:
        assert row["half"] == half_of(row["thread"])
        assert row["thread"] in there
    assert len({row["thread"] for row in VERDICTS}) == len(VERDICTS)
