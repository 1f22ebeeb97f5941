"""What a known failure is: one row of the tables that ``explain_failure`` searches."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """One row of the table.

    Attributes:
        name: short name, unique in the table.
        pattern: searched in each log line, ignoring case; may have the groups ``what`` (a file,
            an argument, …) and ``gfx`` (a GPU target).
        cause: what the line means; ``{what}`` and ``{gfx}`` stand for the groups' text.
        remedy: what the user can do.
        source: where the line was reported or is printed.
    """

    name: str
    pattern: re.Pattern[str]
    cause: str
    remedy: str
    source: str


def failure_row(name: str, pattern: str, cause: str, remedy: str, source: str) -> KnownFailure:
    """Return a row; its pattern ignores case."""
    return KnownFailure(name, re.compile(pattern, re.IGNORECASE), cause, remedy, source)
