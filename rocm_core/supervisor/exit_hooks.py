"""The end of this program, and forks of it: what they mean for its servers."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol


class _Server(Protocol):
    def stop(self, grace: float = ...) -> None: ...

    def forked(self) -> None: ...


# Every server that can be told of a fork; a server may be collected like any other object.
every: weakref.WeakSet[_Server] = weakref.WeakSet()
# Servers with a process, or a share in one.
live: set[_Server] = set()


@atexit.register
def _stop_all() -> None:
    for server in list(live):
        server.stop(grace=1.0)


def _forked() -> None:
    live.clear()
    for server in list(every):
        server.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
