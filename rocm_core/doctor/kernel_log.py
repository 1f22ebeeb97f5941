"""The kernel's log, where this user may read it."""

from __future__ import annotations

import subprocess
from typing import NamedTuple

_TIMEOUT = 5.0


class KernelLog(NamedTuple):
    """What ``dmesg`` told.

    Attributes:
        lines: the log, oldest first; empty if it cannot be read.
        problem: why it cannot be read; empty if it can.
    """

    lines: list[str]
    problem: str = ""


def read_kernel_log() -> KernelLog:
    """Return the kernel's log. Most systems show it to root alone; nothing is asked for."""
    try:
        done = subprocess.run(
            ["dmesg"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
        )
    except OSError as error:
        return KernelLog([], f"dmesg cannot be run: {error.strerror or error}")
    except subprocess.TimeoutExpired:
        return KernelLog([], f"dmesg took longer than {_TIMEOUT:g} s")
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        return KernelLog([], said or f"dmesg exited with code {done.returncode}")
    return KernelLog(done.stdout.decode("utf-8", "replace").splitlines())
