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
    pattern: str
    cause: str
    remedy: str
    source: str

    def search(self, line: str) -> re.Match[str] | None:
        """Return the first match of the pattern in a log line, or None."""
        # Compiled on first use: most programs never explain a failure.
        return re.search(self.pattern, line, re.IGNORECASE)
