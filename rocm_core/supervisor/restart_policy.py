"""Decide when a server that crashed may be started again. No I/O; the clock is injected.

The first restart comes at once; each further one within the window waits twice as long after
the crash (1, 2, 4 … 30 s). After ``limit`` restarts within the window the server is not started
any more, until the oldest crash is older than the window or the server is stopped on purpose.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rocm_core.config import RestartPolicy
from rocm_core.errors import RocmError, ServerDied

LIMIT = 5
# Seconds.
WINDOW = 300.0
_FIRST_DELAY = 1.0
_MAX_DELAY = 30.0


@dataclass
class CrashHistory:
    """The crashes of one server.

    Attributes:
        limit: number of restarts within the window; after one crash more there are none.
        window: seconds.
        clock: returns seconds that only grow, so that a changed wall clock does not matter.
    """

    limit: int = LIMIT
    window: float = WINDOW
    clock: Callable[[], float] = time.monotonic
    _crashes: collections.deque[tuple[float, str]] = field(default_factory=collections.deque)

    def add(self, error: RocmError) -> None:
        """Record a crash that happened just now."""
        self._crashes.append((self.clock(), str(error).partition("\n")[0]))

    def clear(self) -> None:
        """Forget the crashes: the user has stopped the server."""
        self._crashes.clear()

    @property
    def reasons(self) -> list[str]:
        """First line of each crash's message within the window, oldest first."""
        now = self.clock()
        while self._crashes and now - self._crashes[0][0] > self.window:
            self._crashes.popleft()
        return [reason for _, reason in self._crashes]

    @property
    def exhausted(self) -> bool:
        """Whether the server crashed too often to be started again."""
        return len(self.reasons) > self.limit

    def delay(self) -> float:
        """Return the seconds until the next start is due; 0 after the first crash."""
        count = len(self.reasons)
        if count < 2:
            return 0.0
        backoff = min(_FIRST_DELAY * 2.0 ** (count - 2), _MAX_DELAY)
        return max(0.0, self._crashes[-1][0] + backoff - self.clock())

    def refusal(self, failure: RocmError | None, policy: RestartPolicy) -> ServerDied | None:
        """Return the error for a server that may not be started again; ``None`` if it may.

        Args:
            failure: why the server is FAILED; only a ``ServerDied`` is ever refused.
            policy: ``"never"`` refuses after the first crash.
        """
        if not isinstance(failure, ServerDied) or (policy != "never" and not self.exhausted):
            return None
        reasons = self.reasons
        lines = "\n".join(f"  {n}. {reason}" for n, reason in enumerate(reasons, 1))
        why = f"{len(reasons)} crashes within {self.window:g} s" if policy != "never" else policy
        return ServerDied(
            f"the server crashed and is not started again (restart: {why}).\n{lines}\n"
            "Remove the cause, then close the model and load it again.",
            returncode=failure.returncode,
            command=failure.command,
            log_tail=failure.log_tail,
            cause=failure.cause,
            remedy=failure.remedy,
        )
