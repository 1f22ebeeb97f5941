"""Identify a process by pid and start time, so that a reused pid is not taken for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rocm_core.engine.embedded_start import ELSEWHERE


@dataclass(frozen=True, slots=True)
class ProcessId:
    """Pid and start time of a process; unique until the machine is rebooted.

    Attributes:
        pid: process id.
        started: the start time as the system prints it. It is compared, never interpreted, so
            that a changed wall clock does not matter on Linux.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the identity of the process that has this pid now; ``None`` if there is none."""
        started = start_time(pid)
        return cls(pid, started) if started else None

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return bool(self.started) and start_time(self.pid) == self.started

    def kill(self) -> bool:
        """Send SIGKILL if this very process still runs; no other process is ever hit.

        Returns:
            Whether the signal was sent.
        """
        if self.pid <= 1 or not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            return self._kill()
        return False

    def _kill(self) -> bool:
        if not hasattr(os, "pidfd_open"):
            os.kill(self.pid, signal.SIGKILL)
            return True
        # A pidfd keeps referring to one process: checked after it is open, it cannot be another.
        handle = os.pidfd_open(self.pid)
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
        return True


def start_time(pid: int) -> str | None:
    """Return when a process was started; ``None`` if it does not run or is a zombie.

    Linux: clock ticks since boot, field 22 of ``/proc/PID/stat`` (proc(5)). Elsewhere: what
    ``ps -o lstart=`` prints.
    """
    if sys.platform.startswith("linux"):
        return _from_proc(pid)
    return _from_ps(pid)


def _from_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name in parentheses may contain spaces; after it: state=0, starttime=19.
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else None


def _from_ps(pid: int) -> str | None:
    try:
        done = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            check=False,
            capture_output=True,
            text=True,
            cwd=ELSEWHERE,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", os.defpath)},
        )
    except OSError:
        return None
    state, _, started = done.stdout.strip().partition(" ")
    return started.strip() or None if not state.startswith("Z") else None
