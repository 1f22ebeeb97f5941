"""Why a process ended: its exit code, its log and its variables, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rocm_core.config import LoadConfig
from rocm_core.supervisor.exits.kernel_log import may_read_kernel_log, read_kernel_log

if TYPE_CHECKING:
    from rocm_core.diagnosis import Failure
    from rocm_core.diagnosis.kernel import Process

# Seconds that the kernel's log may take: those who wait for the server wait for it too.
_KERNEL_TIMEOUT = 1.0
# Failures that say how a process fell over, not why.
_VAGUE = ("crashed", "aborted", "check_failed", "uncaught_error")
# Words of a log that has to do with a GPU.
_OF_GPU = ("rocm", "hip", "hsa", "vulkan", "vk::", "amdgpu", "kfd", "gpu")


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
    process: Process | None = None,
) -> Exit:
    """Return why a process ended.

    Args:
        code: exit code, or minus the signal number.
        tail: the last lines that it printed.
        environment: its variables.
        config: how it was run; where no known failure explains the end, the options in it that not
            every build can compute with are named.
        process: which one it was, for the kernel's log; ``None``: that is not looked at.
    """
    # The table of known failures is for a process that failed: the others do not pay for it.
    from rocm_core.diagnosis import explain, tuned_options

    failure = explain.explain_failure(tail, code, environment, _kernel_log(code, tail, process))
    text = explain.describe_exit(code)
    if config is not None and (failure is None or failure.name in _VAGUE):
        found = tuned_options.tuned(vars(config), vars(LoadConfig()))
        lines = explain.error_lines(tail)
        failure = tuned_options.blame_options(found, lines, code) or failure
    said = "; ".join(explain.error_lines(tail))
    if failure:
        # A signal alone says that it crashed: the last lines may say what it was doing.
        last = f" It said last: {said}." if said and not failure.evidence else ""
        return Exit(failure, f"{text}: {failure.cause}.{last} Remedy: {failure.remedy}")
    return Exit(None, f"{text}: {said}" if said else text)


def _kernel_log(code: int | None, tail: Sequence[str], process: Process | None) -> list[str] | None:
    """Return what the kernel says of the process, if it can add anything and may be read."""
    if process is None or not may_read_kernel_log():
        return None
    by_signal = code is not None and (code < 0 or code > 128)
    if not by_signal and not any(word in line.lower() for line in tail for word in _OF_GPU):
        return None
    from rocm_core.diagnosis.kernel import lines_about

    return lines_about(read_kernel_log(_KERNEL_TIMEOUT).lines, process) or None
