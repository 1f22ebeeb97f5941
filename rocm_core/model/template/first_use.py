"""Let one request at a time ask the server about a chat template; the others use what it learns.

Requests that are sent at once, from threads and from event loops, would all begin with the same
probes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rocm_core.model.steps import RequestSteps, Wait

T = TypeVar("T")
# Seconds; then a request asks by itself. The one that it waits for may never end: its event loop
# was stopped, or is blocked by the very caller that waits.
_PATIENCE = 5.0


class FirstUse:
    """The turn of the requests that ask the server. Thread-safe."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        """``patience``: seconds that a request waits for another one."""
        self._patience = patience
        self._turn: dict[None, Future[None]] = {}

    def alone(self, procedure: Callable[[], RequestSteps[T]]) -> RequestSteps[T]:
        """Run a procedure while no other one asks.

        Args:
            procedure: returns a new run of it. A run remembers what it learns when it has learned
                it, and changes nothing else: it may be broken off at its first question. One that
                asks nothing waits for nobody.
        """
        mine: Future[None] = Future()
        mine.set_running_or_notify_cancel()  # a task that is cancelled does not cancel it
        while True:
            run = procedure()
            try:
                next(run)
            except StopIteration as end:
                known: T = end.value
                return known
            run.close()
            holder = self._turn.setdefault(None, mine)
            if holder is mine:
                break
            if not (yield Wait(holder, self._patience)):
                return (yield from procedure())
        try:
            # From the start: another one may have learned something since.
            return (yield from procedure())
        finally:
            del self._turn[None]
            mine.set_result(None)
