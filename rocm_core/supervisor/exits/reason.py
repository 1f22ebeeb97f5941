"""Why a process ended: its exit code, its log and its variables, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rocm_core.diagnosis import Failure


class Exit(NamedTuple):
    """What is known about an exit.

    Attributes:
        failure: the known failure that explains it; ``None``: none does.
        text: a verb phrase, with cause and remedy if they are known.
    """

    failure: Failure | None
    text: str

    @property
    def cause_and_remedy(self) -> dict[str, str]:
        """The attributes that an error of this exit has."""
        known = self.failure
        return {"cause": known.cause, "remedy": known.remedy} if known else {}


def explain_exit(code: int | None, tail: Sequence[str], environment: Mapping[str, str]) -> Exit:
    """Return why a process ended.

    Args:
        code: exit code, or minus the signal number.
        tail: the last lines that it printed.
        environment: its variables.
    """
    # The table of known failures is for a process that failed: the others do not pay for it.
    from rocm_core.diagnosis import explain

    failure = explain.explain_failure(tail, code, environment)
    text = explain.describe_exit(code)
    said = "; ".join(explain.error_lines(tail))
    if failure:
        # A signal alone says that it crashed: the last lines may say what it was doing.
        last = f" It said last: {said}." if said and not failure.evidence else ""
        return Exit(failure, f"{text}: {failure.cause}.{last} Remedy: {failure.remedy}")
    return Exit(None, f"{text}: {said}" if said else text)
