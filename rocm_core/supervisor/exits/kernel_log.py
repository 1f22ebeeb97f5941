"""The kernel's log, where this user may read it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from rocm_core.engine.embedded_start import ELSEWHERE

_TIMEOUT = 5.0
# Characters kept from its beginning (the start of the system) and from its end.
_KEPT = 1 << 20
_RESTRICTED = Path("/proc/sys/kernel/dmesg_restrict")


class KernelLog(NamedTuple):
    """What ``dmesg`` told.

    Attributes:
        lines: the log, oldest first; empty if it cannot be read.
        problem: why it cannot be read; empty if it can.
    """

    lines: list[str]
    problem: str = ""


def may_read_kernel_log() -> bool:
    """Whether the kernel shows its log to this user. A look at two numbers: runs no program."""
    if not hasattr(os, "geteuid"):
        return False
    try:
        return os.geteuid() == 0 or _RESTRICTED.read_text().strip() == "0"
    except OSError:
        return False


def read_kernel_log(timeout: float = _TIMEOUT) -> KernelLog:
    """Return the kernel's log. Most systems show it to root alone; nothing is asked for.

    Args:
        timeout: seconds that it may take.
    """
    try:
        done = subprocess.run(
            ["dmesg"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            cwd=ELSEWHERE,  # a relative part of PATH finds nothing of our working directory
        )
    except OSError as error:
        return KernelLog([], f"dmesg cannot be run: {error.strerror or error}")
    except subprocess.TimeoutExpired:
        return KernelLog([], f"dmesg took longer than {timeout:g} s")
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        return KernelLog([], said or f"dmesg exited with code {done.returncode}")
    said = done.stdout.decode("utf-8", "replace")
    if len(said) > 2 * _KEPT:
        said = f"{said[:_KEPT]}\n{said[-_KEPT:]}"
    return KernelLog(said.splitlines())
