"""Results as a Markdown table and as JSON. Pure."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.contenders.base import HTTPX
from benchmarks.measuring import Result

_HEAD = ("path", "µs/chunk", "min-max", "x httpx", "x floor")


def machine() -> str:
    """The kind of machine, for the record."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def ratio(result: Result, base: Result) -> float:
    """How often ``base`` fits in: the median over the rounds, each compared with itself."""
    pairs = zip(result.rounds, base.rounds, strict=True)
    return median(mine / other for mine, other in pairs)


def rows(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """One row per result of one mode; a ratio is ``None`` where there is nothing to compare."""
    by_name = {result.name: result for result in results}
    for result in results:
        floor = by_name.get(result.floor or "")
        yield {
            "mode": result.mode,
            "name": result.name,
            "median": median(result.rounds),
            "min": min(result.rounds),
            "max": max(result.rounds),
            "to_httpx": ratio(result, by_name[HTTPX]),
            "to_floor": ratio(result, floor) if floor else None,
            "rounds": result.rounds,
        }


def table(results: Sequence[Result]) -> str:
    """A Markdown table of one mode."""
    lines = [_line(_HEAD), "|---|--:|--:|--:|--:|"]
    for row in rows(results):
        floor = row["to_floor"]
        spread = f"{row['min']:.1f}-{row['max']:.1f}"
        numbers = f"{row['median']:.1f}", spread, f"{row['to_httpx']:.2f}"
        lines.append(_line((row["name"], *numbers, f"{floor:.2f}" if floor else "")))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
