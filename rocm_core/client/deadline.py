"""``Deadline``: how long one call may take, whatever it does on its way.

    call ─▶ Deadline ─▶ start or probe of the server ─▶ wait in the queue ─▶ request ─▶ stream
            made once, where the call enters a ``TextModel`` or a client, and passed down

``total`` (``timeout=``) limits all of that together; the limits of the phases begin anew with each
request. Sync and async share it: nothing here waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.errors import RequestTimeout

# So that a wait that ends with the deadline finds it passed.
_AFTER = 0.001


class Deadline:
    """The end of one call by its ``total`` limit, beside the limits of its phases.

    Attributes:
        limits: the limits, in seconds.
        end: when ``total`` passes (``time.monotonic``); ``None``: never.
    """

    __slots__ = ("_begun", "end", "limits")

    def __init__(self, limits: Timeouts) -> None:
        """``limits``: they count from now on."""
        self._begun = time.monotonic()
        self._limit(limits)

    def _limit(self, limits: Timeouts) -> None:
        self.limits = limits
        self.end = None if limits.total is None else self._begun + limits.total

    @classmethod
    def of(cls, limits: Timeouts | Deadline) -> Deadline:
        """Return the deadline of a call that is under way, or of one that begins now."""
        return limits if isinstance(limits, Deadline) else cls(limits)

    def obey(self, config: GenerateConfig) -> None:
        """Replace ``total`` by the ``timeout`` that a request brings, if it brings one."""
        if config.timeout is not None:
            self._limit(self.limits.of(config))

    def within(self, limits: Timeouts) -> Deadline:
        """Return the deadline of a part of this call, which begins now: the smaller limits hold."""
        ours = self.limits
        part = Deadline(
            Timeouts(
                connect=_smaller(ours.connect, limits.connect),
                first_token=_smaller(ours.first_token, limits.first_token),
                idle=_smaller(ours.idle, limits.idle),
                total=limits.total,
            )
        )
        if self.end is not None and (part.end is None or self.end < part.end):
            part.limits, part.end = replace(part.limits, total=ours.total), self.end
        return part

    def left(self, limit: float | None) -> float | None:
        """Return ``limit`` in seconds, or what is left of ``total`` if that is less."""
        return time_left(self.end, limit)

    def allows(self, seconds: float) -> bool:
        """Return whether ``total`` has not passed in so many seconds."""
        return self.end is None or time.monotonic() + seconds < self.end

    def check(self, doing: str = "reading the answer") -> None:
        """Raise ``RequestTimeout`` if the ``total`` limit has passed.

        Args:
            doing: what the call was doing, for the message.
        """
        if self.end is not None and time.monotonic() > self.end:
            limit = f"{self.limits.total} s (timeout=, timeouts.total)"
            raise RequestTimeout(f"the call took longer than {limit}, {doing}", phase="total")

    def acquire(self, lock: threading.Lock, doing: str) -> None:
        """Acquire a lock that is held while another caller of the same server waits for its answer.

        Args:
            lock: the lock.
            doing: what the call waits for, for the message.

        Raises:
            RequestTimeout: ``total``, or the limit of an answer, passed before.
        """
        limit = self.limits.first_token
        left = self.left(limit)
        if not lock.acquire(timeout=-1 if left is None else left):
            self.check(doing)
            limited = f"{limit} s (first_token_timeout=, timeouts.first_token)"
            raise RequestTimeout(f"no answer for {limited}, {doing}", phase="first_token")

    def overdue(self, url: str) -> RequestTimeout:
        """Return the error of a request whose time has passed: ``total``, or the first token's."""
        try:
            self.check(f"waiting for {url} to answer")
        except RequestTimeout as error:
            return error
        limited = f"{self.limits.first_token} s (first_token_timeout=, timeouts.first_token)"
        return RequestTimeout(f"{url} did not answer for {limited}", phase="first_token")

    @contextlib.contextmanager
    def named(self, doing: str) -> Iterator[None]:
        """Report a wait that ``left`` has cut short as a timeout of ``total``."""
        try:
            yield
        except RequestTimeout:
            self.check(doing)
            raise


@contextlib.contextmanager
def alarm(end: float | None, ring: Callable[[], None]) -> Iterator[None]:
    """Call ``ring`` in another thread if the block still runs at ``end`` (``time.monotonic``)."""
    timer = None if end is None else threading.Timer(time_left(end) or 0.0, ring)
    if timer is not None:
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread: then each read alone is limited
            timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


@contextlib.contextmanager
def loop_alarm(end: float | None, ring: Callable[[], None]) -> Iterator[None]:
    """Call ``ring`` on the running event loop if the block still runs at ``end``."""
    left = time_left(end)
    timer = None if left is None else asyncio.get_running_loop().call_later(left, ring)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def time_left(end: float | None, limit: float | None = None) -> float | None:
    """Return the seconds until ``end`` (``time.monotonic``), or ``limit`` if that is less."""
    if end is None:
        return limit
    left = max(0.0, end - time.monotonic()) + _AFTER
    return left if limit is None else min(limit, left)


def _smaller(one: float | None, other: float | None) -> float | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
