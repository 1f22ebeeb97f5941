"""Which lines of the kernel's log can be about one process. Pure.

the card's state since the system started (no firmware, no PCIe atomics)  ── always
what happened (a reset, a fault, a kill)  ── in the process's time, and not to another process
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# Seconds between the kernel's clock and ours, at most; a stamp without a date is as coarse.
_SLACK = 2.0
# The kernel names the process of a fault of the GPU so many lines later, at most.
_BELOW = 6
# A thread's or a process's name in the kernel is cut here.
_NAME = 15

_STAMP = re.compile(r"^(?:<\d+>)?\[ *(?P<seconds>\d+\.\d+)\]")
_STATE = re.compile(
    r"rejects atomics|PCIe atomic|kfd not supported|not supported in kfd|Direct firmware load"
    r"|failed to load (?:firmware|ucode)|during GPU init|driver amdgpu failed|device_ip_init failed"
    r"|hw_init of IP block|unable to locate a BIOS ROM",
    re.IGNORECASE,
)
_OF_PROCESS = re.compile(
    r"Killed process (?P<killed>\d+)|oom-kill:.*\bpid=(?P<oom>\d+)|\bprocess \S.* pid (?P<gpu>\d+)",
    re.IGNORECASE,
)
# The number is that of the thread.
_OF_THREAD = re.compile(
    r"(?P<name>[^\s\[\]]+)\[(?P<thread>\d+)\]:? (?:segfault at|general protection"
    r"|trap invalid opcode)"
)
# Of the GPU's faults these are of one process alone; a reset ends the work of all.
_OF_ONE = re.compile(r"\bring \S+ timeout|page fault", re.IGNORECASE)


class Process(NamedTuple):
    """A process that ended.

    Attributes:
        pid: its id; 0 if it is not known.
        program: the file name of its program.
        since, until: when it ran, in seconds of the kernel's clock (``time.monotonic()``).
    """

    pid: int
    program: str
    since: float
    until: float


def lines_about(lines: Iterable[str], process: Process) -> list[str]:
    """Return the lines of the kernel's log that can be about a process, oldest first."""
    of_its_time = [line for line in lines if _STATE.search(line) or _within(line, process)]
    return [
        line
        for number, line in enumerate(of_its_time)
        if not _of_another(line, process)
        and not (
            _OF_ONE.search(line)
            and any(_of_another(later, process) for later in _below(of_its_time, number))
        )
    ]


def _below(lines: Sequence[str], number: int) -> Sequence[str]:
    return lines[number + 1 : number + 1 + _BELOW]


def _within(line: str, process: Process) -> bool:
    stamp = _STAMP.match(line)
    if stamp is None:
        return False
    return process.since - _SLACK <= float(stamp["seconds"]) <= process.until + _SLACK


def _of_another(line: str, process: Process) -> bool:
    if not process.pid:
        return False
    if found := _OF_PROCESS.search(line):
        return int(found["killed"] or found["oom"] or found["gpu"]) != process.pid
    if found := _OF_THREAD.search(line):
        thread = int(found["thread"])
        ours = found["name"] == process.program[:_NAME] and thread > process.pid
        return thread != process.pid and not ours
    return False
