"""One start under way, and everyone who waits for it: threads and event loops alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from rocm_core.errors import RocmError
from rocm_core.supervisor.handle import OnProgress, again


class Startup:
    """A start; its outcome is the same for all who follow it.

    Attributes:
        followers: who still waits for it; kept by the supervisor, under its lock.
        cancelled: it shall not come to its end.
        over: it has an outcome.
    """

    def __init__(self) -> None:
        self.followers = 0
        self.cancelled = False
        self.over = False
        self._share = 0.0
        self._outcome: BaseException | None = None
        self._wakes: list[Callable[[], object]] = []

    def progress(self, share: float) -> None:
        """``share`` (0..1) of the load is done."""
        self._share = share
        self._wake_all()

    def finish(self, outcome: BaseException | None) -> None:
        """It succeeded (``None``), or it failed."""
        self._outcome, self.over = outcome, True
        self._wake_all()

    def follow(self, on_progress: OnProgress | None) -> None:
        """Wait for the outcome; ``on_progress`` is called in this thread.

        Raises:
            RocmError: the start failed.
        """
        woken = threading.Event()
        self._wakes.append(woken.set)
        shown = 0.0
        while not self.over:
            # Windows delivers Ctrl-C only between two waits.
            woken.wait(1.0)
            woken.clear()
            shown = self._show(on_progress, shown)
        self._raise_outcome()

    async def afollow(self, on_progress: OnProgress | None) -> None:
        """``follow`` on the event loop, which is never blocked."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wakes.append(lambda: loop.call_soon_threadsafe(woken.set))
        shown = 0.0
        while not self.over:
            await woken.wait()
            woken.clear()
            shown = self._show(on_progress, shown)
        self._raise_outcome()

    def _wake_all(self) -> None:
        for wake in list(self._wakes):
            try:
                wake()
            except RuntimeError:  # the event loop is closed
                self._wakes.remove(wake)

    def _show(self, on_progress: OnProgress | None, shown: float) -> float:
        share = self._share
        if share > shown and on_progress is not None:
            on_progress(share)
        return max(share, shown)

    def _raise_outcome(self) -> None:
        if self._outcome is not None:
            outcome = self._outcome
            raise again(outcome) if isinstance(outcome, RocmError) else outcome
