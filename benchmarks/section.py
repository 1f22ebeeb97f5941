"""What one measure found: rows of numbers, and how to show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """One measure.

    Attributes:
        name: what ``--only`` calls it.
        title: what was measured, and in which unit.
        columns: key in a row → heading; every row has a ``name`` besides.
        rows: one per contender.
        plotted: key of the column to draw.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    rows: Sequence[Row] = field(default_factory=list)
    plotted: str = ""

    def of(self, name: str, column: str) -> float | None:
        """One number; ``None`` where it was not measured."""
        for row in self.rows:
            if row["name"] == name:
                value: float | None = row.get(column)
                return value
        return None


def markdown(section: Section) -> str:
    """Its heading and its table."""
    head = ["", *section.columns.values()]
    rows = [[row["name"], *(shown(row.get(k)) for k in section.columns)] for row in section.rows]
    return f"### {section.title}\n\n{table(head, rows)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: object) -> str:
    """Three digits or so."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"
