"""Dies with its parent: run as ``python guard.py PARENT_PID COMMAND…``, becomes COMMAND.

Linux ends a child with its parent when the child has asked for it:
``prctl(PR_SET_PDEATHSIG)``, which survives ``execve`` (prctl(2)). The request belongs to the
*thread* that forked, so ``server.process`` forks from a thread that lasts as long as the
program. Run by path, so that nothing of the package is imported before ``execve``.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies. Elsewhere than Linux: nothing.

    Exits at once if the parent is already gone.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
