"""Break off generation that runs elsewhere: in worker threads, in other tasks.

    with cancel_scope() as scope:
        thread = pool.submit(chat.invoke, "…")     # a context that is copied belongs to the scope
        …
        scope.cancel()                             # ends its answer and frees its slot

A thread cannot be interrupted, but its connection can be cut. Leaving the block with an
exception (Ctrl-C, a cancelled task) cancels as well.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from rocm_core.errors import RequestCancelled


class _Cuttable(Protocol):
    def cut(self) -> None: ...


class CancelScope:
    """The requests sent inside a ``cancel_scope()``. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wires: set[_Cuttable] = set()
        self._cancelled = False

    def cancel(self) -> None:
        """Break off every request of this scope, and refuse later ones.

        The callers that wait for them get an error (``RequestCancelled``, ``StreamInterrupted``
        or ``ServerUnreachable``) at once.
        """
        with self._lock:
            self._cancelled = True
            wires = list(self._wires)
        for wire in wires:
            wire.cut()

    @contextmanager
    def holding(self, wire: _Cuttable) -> Iterator[None]:
        """Make ``wire`` part of the scope while the block runs.

        Raises:
            RequestCancelled: the scope was cancelled before.
        """
        with self._lock:
            if self._cancelled:
                raise RequestCancelled("the request was not sent: its cancel_scope is cancelled")
            self._wires.add(wire)
        try:
            yield
        finally:
            with self._lock:
                self._wires.discard(wire)


_current: ContextVar[CancelScope | None] = ContextVar("rocm_cancel_scope", default=None)


def current_scope() -> CancelScope | None:
    """Return the scope that requests of this context belong to, or ``None``."""
    return _current.get()


@contextmanager
def cancel_scope() -> Iterator[CancelScope]:
    """Open a scope for the requests of this context, and of threads and tasks with copies of it.

    Yields:
        The scope. Leaving the block with an exception cancels it.
    """
    scope = CancelScope()
    token = _current.set(scope)
    try:
        yield scope
    except BaseException:
        scope.cancel()
        raise
    finally:
        _current.reset(token)
