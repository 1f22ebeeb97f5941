"""What an explanation says. Plain data: importing this loads no table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another known failure that the log shows, and that explains the end less well.

    Attributes:
        name: its row of the table.
        cause: what it would mean.
        evidence: the line that shows it; empty if the exit code does.
        why: why the chosen failure outranks it.
    """

    name: str
    cause: str
    evidence: str
    why: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A known failure.

    Attributes:
        name: the row of the table that matched, such as ``vram_short``.
        cause: what went wrong, in words.
        remedy: what the user can do about it.
        evidence: the line that matched, without what other programs put around it; ``NAME=value``
            of a variable; empty if the exit code alone decided.
        alternatives: what else was found, best first.
    """

    name: str
    cause: str
    remedy: str
    evidence: str
    alternatives: tuple[Alternative, ...] = ()
