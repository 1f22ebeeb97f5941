"""Make the kernel kill this process when its parent dies.

    python parent_death.py PARENT_PID COMMAND…      requests it, then becomes COMMAND

Linux kills a child with its parent if the child has requested it with ``prctl(PR_SET_PDEATHSIG)``;
the request survives ``execve`` (prctl(2)). It counts from the death of the *thread* that forked, so
``supervisor.child_process`` forks in a thread that lasts as long as the program. The file is run by
its path, so that nothing of the package is imported before ``execve``.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies. Does nothing but on Linux.

    Exits at once, with code 1, if the parent is dead already.

    Args:
        parent_pid: pid of the parent when it started this process.
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
