"""Whether this thread may read files now: not while an event loop waits for it.

A constructor cannot be awaited, so an object that is made inside an event loop takes what needs no
file (arguments and environment variables), and reads the files of settings at its first use, in a
thread.
"""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_allowed: ContextVar[bool] = ContextVar("rocm_may_block", default=False)


def may_block() -> bool:
    """Return whether no event loop of this thread would wait.

    The loop of a Jupyter kernel does not count: it waits for every cell, whatever that does.
    """
    return _get_running_loop() is None or _allowed.get() or _in_notebook()


@contextmanager
def blocking() -> Iterator[None]:
    """Let everything inside read files: its caller chose a blocking call."""
    before = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(before)


def _in_notebook() -> bool:
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and bool(kernel.IPKernelApp.initialized())
