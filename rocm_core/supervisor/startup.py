"""A start under way and the callers that wait for it, threads and event loops alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from rocm_core.client import Deadline
from rocm_core.errors import RocmError
from rocm_core.supervisor.handle import OnProgress, copy_error


class Startup:
    """One start of a server; all its waiters get the same outcome.

    Attributes:
        waiters: a mark of each caller that waits; changed by the supervisor, under its lock.
        cancelled: nobody wants the server any more, so the starting thread cleans up.
        finished: the outcome is known.
    """

    def __init__(self, name: str = "the model") -> None:
        """``name``: what is loaded, for messages."""
        self._name = name
        self.waiters: set[object] = set()
        self.cancelled = False
        self.finished = False
        self._share = 0.0
        self._outcome: BaseException | None = None
        self._wake_ups: list[Callable[[], object]] = []

    def progress(self, share: float) -> None:
        """Report that ``share`` (0..1) of the load is done."""
        self._share = share
        self._wake_all()

    def finish(self, outcome: BaseException | None) -> None:
        """Set the outcome, ``None`` for a success, and wake every waiter."""
        self._outcome, self.finished = outcome, True
        self._wake_all()

    def wait(self, on_progress: OnProgress | None, deadline: Deadline) -> None:
        """Wait for the outcome; ``on_progress`` is called in this thread.

        Args:
            on_progress: called with the share of the load done.
            deadline: of this waiter; the start itself has no such limit.

        Raises:
            RequestTimeout: the deadline passed.
            RocmError: the start failed; each waiter gets a copy.
        """
        woken = threading.Event()
        self._wake_ups.append(woken.set)
        shown = 0.0
        while not self.finished:
            # Windows delivers Ctrl-C only between two waits.
            woken.wait(deadline.left(1.0))
            woken.clear()
            shown = self._show(on_progress, shown)
            self._check(deadline)
        self._raise_failure()

    async def await_outcome(self, on_progress: OnProgress | None, deadline: Deadline) -> None:
        """``wait`` without blocking the event loop; ``on_progress`` is called on the loop."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake_ups.append(lambda: loop.call_soon_threadsafe(woken.set))
        left = deadline.left(None)
        alarm = None if left is None else loop.call_later(left, woken.set)
        shown = 0.0
        try:
            while not self.finished:
                await woken.wait()
                woken.clear()
                shown = self._show(on_progress, shown)
                self._check(deadline)
        finally:
            if alarm is not None:
                alarm.cancel()
        self._raise_failure()

    def _check(self, deadline: Deadline) -> None:
        if not self.finished:
            deadline.check(
                f"waiting for {self._name} to load. Raise timeout=, or load the model before its "
                "first use"
            )

    def _wake_all(self) -> None:
        for wake_up in list(self._wake_ups):
            try:
                wake_up()
            except RuntimeError:  # the event loop is closed
                self._wake_ups.remove(wake_up)

    def _show(self, on_progress: OnProgress | None, shown: float) -> float:
        share = self._share
        if share > shown and on_progress is not None:
            on_progress(share)
        return max(share, shown)

    def _raise_failure(self) -> None:
        if self._outcome is not None:
            outcome = self._outcome
            raise copy_error(outcome) if isinstance(outcome, RocmError) else outcome
