"""What the exit and forks of this program mean for its servers."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol


class _Server(Protocol):
    def stop(self, grace: float = ...) -> None: ...

    def forget_after_fork(self) -> None: ...


# Every server that still exists, to be told of a fork; weak, so that it can be collected.
every: weakref.WeakSet[_Server] = weakref.WeakSet()
# Servers with a process or a lease, to be stopped at exit.
live: set[_Server] = set()


@atexit.register
def _stop_all() -> None:
    for server in list(live):
        server.stop(grace=1.0)


def _forget_after_fork() -> None:
    live.clear()
    for server in list(every):
        server.forget_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
