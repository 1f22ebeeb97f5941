"""Why a process ended: its exit code, its log and its variables, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rocm_core.config import LoadConfig

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


def explain_exit(
    code: int | None,
    tail: Sequence[str],
    environment: Mapping[str, str],
    config: LoadConfig | None = None,
) -> Exit:
    """Return why a process ended.

    Args:
        code: exit code, or minus the signal number.
        tail: the last lines that it printed.
        environment: its variables.
        config: how it was run; where no known failure explains the end, the options in it that not
            every build can compute with are named.
    """
    # The table of known failures is for a process that failed: the others do not pay for it.
    from rocm_core.diagnosis import explain, tuned_options

    failure = explain.explain_failure(tail, code, environment)
    text = explain.describe_exit(code)
    if config is not None and (failure is None or failure.name == "crashed"):
        found = tuned_options.tuned(vars(config), vars(LoadConfig()))
        lines = explain.error_lines(tail)
        failure = tuned_options.blame_options(found, lines, code) or failure
    if failure:
        return Exit(failure, f"{text}: {failure.cause}. Remedy: {failure.remedy}")
    said = "; ".join(explain.error_lines(tail))
    return Exit(None, f"{text}: {said}" if said else text)
