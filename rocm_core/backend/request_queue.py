"""Limit the requests to a server that are under way: one fair queue per server and process.

    enter ──a place is free──────────────▶ in flight ──leave──▶ the head of the queue goes in
      └──all taken──▶ queue (FIFO) ──▶ in flight
                        ├─ queue full, or queue_timeout passed → ServerBusy
                        ├─ the call's own deadline passed      → RequestTimeout
                        └─ cancelled, or the model closed      → out of the queue

Threads and event loops wait in the same queue. A place that becomes free is handed to the head
of the queue, so no request overtakes another.

The garbage collector closes generators, too, and it may run in the middle of anything here; an
interrupt may come between any two lines. So places are tokens in a set: taking and giving back
are one atomic step each, leaving never waits for the lock, and a ticket that is
garbage-collected gives its place back.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType

from rocm_core.backend.slot_affinity import SlotAffinity
from rocm_core.client import Deadline
from rocm_core.errors import ServerBusy, ServerStopped


@dataclass(slots=True, eq=False)
class Limits:
    """How many requests one model may send to its server, and how long they wait.

    Attributes:
        in_flight: most requests under way at once; ``None`` for no limit.
        queue: most requests that wait; ``None`` for no limit.
        timeout: most seconds that a request waits; ``None`` for no limit.
    """

    in_flight: int | None = None
    queue: int | None = 32
    timeout: float | None = 30.0


class RequestQueue:
    """The requests of this process to one server: those under way, and those that wait."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every request: after a fork they are the parent's."""
        self._lock = threading.Lock()
        self._inside: set[object] = set()
        self._queue: deque[Ticket] = deque()
        self._affinity: SlotAffinity | None = None

    def affinity(self, slots: int) -> SlotAffinity:
        """Return the slot affinity of the server, one for all connections to it."""
        with self._lock:
            self._affinity = self._affinity or SlotAffinity(slots)
            return self._affinity

    @property
    def in_flight(self) -> int:
        """The number of requests under way."""
        return len(self._inside)

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return sum(not ticket.gone for ticket in list(self._queue))

    def enter(self, ticket: Ticket) -> bool:
        """Take a place if one is free and no request waits; return whether the ticket has one."""
        limit = ticket.limits.in_flight
        try:
            with self._lock:
                if limit is None or (len(self._inside) < limit and not self._queue):
                    self._inside.add(ticket.token)
                    return True
                return False
        finally:
            if self._queue:
                self._hand_over()

    def enqueue(self, ticket: Ticket) -> None:
        """Append a ticket to the queue; ``ticket.wake`` is called once it has a place.

        Raises:
            ServerBusy: the queue is full.
        """
        try:
            with self._lock:
                self._queue = deque(r for r in self._queue if not r.gone)
                most = ticket.limits.queue
                if most is not None and len(self._queue) >= most:
                    raise self.busy(f"and no more may wait (max_queue={most})")
                self._queue.append(ticket)
        finally:
            self._hand_over()

    def leave(self, ticket: Ticket) -> None:
        """Give back the ticket's place, or take it out of the queue; never blocks."""
        ticket.gone = True
        self._inside.discard(ticket.token)
        if self._queue:
            self._hand_over()

    def reject_waiting(self, owner: RequestLimiter) -> None:
        """Wake every waiting request of one model without a place."""
        with self._lock:
            rejected = [r for r in self._queue if r.limiter is owner]
            for ticket in rejected:
                ticket.gone = True
        for ticket in rejected:
            ticket.wake()
        self._hand_over()

    def busy(self, what: str) -> ServerBusy:
        """Return the error of a request that gets no place."""
        return ServerBusy(
            f"{self.in_flight} requests are under way, {self.waiting} wait, {what}. Try again "
            "later, load the model with more slots (parallel), or raise that limit. A stream "
            "that is held open without being read keeps its place."
        )

    def _hand_over(self) -> None:
        # A caller that finds the lock taken leaves the work to its holder, which looks again after
        # releasing it.
        while self._head_moves() and self._lock.acquire(blocking=False):
            ticket = None
            try:
                if self._head_moves():
                    ticket = self._queue.popleft()
                    self._inside.add(ticket.token)
                    if ticket.gone:  # it may have left meanwhile, before it had its place
                        self._inside.discard(ticket.token)
            finally:
                self._lock.release()
            if ticket is not None and not ticket.gone:
                ticket.wake()

    def _head_moves(self) -> bool:
        try:
            head = self._queue[0]
        except IndexError:
            return False
        limit = head.limits.in_flight
        return head.gone or limit is None or len(self._inside) < limit


class RequestLimiter:
    """The requests of one model in its server's queue, and their limits.

    Attributes:
        queue: the queue of the server.
        limits: of this model.
        tokens: of its tickets that wait or are under way.
        closed: the model is being closed, and no ticket gets a place any more.
        empty: set once the model is being closed and the last ticket has left.
    """

    def __init__(self, queue: RequestQueue) -> None:
        self.queue = queue
        self.limits = Limits()
        self.tokens: set[object] = set()
        self.closed = False
        self.empty = threading.Event()

    def ticket(self, deadline: Deadline | None = None) -> Ticket:
        """Return a ticket: a context manager, blocking and asyncio, that holds a place.

        Args:
            deadline: of the call that the request is a part of; ``None`` for none.

        Raises:
            ServerBusy: on entering: the queue is full, or the turn did not come within the
                limiter's ``timeout``.
            RequestTimeout: on entering: the deadline passed before that.
            ServerStopped: on entering: the model is being closed.
        """
        return Ticket(self, deadline)

    def drain(self, seconds: float) -> bool:
        """Reject the requests that wait and new ones, and wait for those under way.

        Args:
            seconds: how long to wait.

        Returns:
            Whether all of them ended within that time.
        """
        self.closed = True
        self.queue.reject_waiting(self)
        return not self.tokens or self.empty.wait(seconds)


class Ticket:
    """One request: waiting, in flight, or gone. A context manager that waits for its place.

    Attributes:
        limiter: of the model that sends the request.
        limits: those of the limiter when the ticket was made.
        deadline: of the call that the request is a part of.
        token: its entry in the sets of places.
        gone: the ticket has left, or was rejected.
        wake: called, from any thread, once the ticket has a place or was rejected.
    """

    __slots__ = ("deadline", "gone", "limiter", "limits", "token", "wake")

    wake: Callable[[], None]

    def __init__(self, limiter: RequestLimiter, deadline: Deadline | None = None) -> None:
        self.gone = False
        self.limiter = limiter
        self.limits = limiter.limits
        self.deadline = deadline
        self.token = object()  # the last one: ``__del__`` sees that the rest is there

    def __enter__(self) -> None:
        if self._enters():
            return
        turn = threading.Lock()
        turn.acquire()
        self.wake = turn.release
        try:
            self.limiter.queue.enqueue(self)
            limit = self._limit()
            self._check(turn.acquire(timeout=-1 if limit is None else limit))
        except BaseException:
            self._leave()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    async def __aenter__(self) -> None:
        if self._enters():
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self.wake = _waker(loop, turn, self)
        try:
            self.limiter.queue.enqueue(self)
            done, _ = await asyncio.wait({turn}, timeout=self._limit())
            self._check(bool(done))
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def __del__(self) -> None:
        # Not ``gone``: an interrupt may have come in the middle of ``_leave``, which ends so.
        if hasattr(self, "token") and self.token in self.limiter.tokens:
            self._leave()

    def _enters(self) -> bool:
        limiter = self.limiter
        limiter.tokens.add(self.token)
        if limiter.closed:
            self._leave()
            raise _closing()
        return limiter.queue.enter(self)

    def _limit(self) -> float | None:
        limit = self.limits.timeout
        return limit if self.deadline is None else self.deadline.left(limit)

    def _check(self, in_time: bool) -> None:
        if not in_time:
            if self.deadline is not None:
                self.deadline.check("waiting in the queue for one of the requests under way to end")
            limit = self.limits.timeout
            raise self.limiter.queue.busy(f"and none ended within {limit:g} s (queue_timeout)")
        if self.gone:
            raise _closing()

    def _leave(self) -> None:
        limiter = self.limiter
        limiter.queue.leave(self)
        limiter.tokens.discard(self.token)
        if limiter.closed and not limiter.tokens:
            limiter.empty.set()


def _closing() -> ServerStopped:
    return ServerStopped("the model is being closed; it takes no more requests")


def _waker(
    loop: asyncio.AbstractEventLoop, turn: asyncio.Future[None], ticket: Ticket
) -> Callable[[], None]:
    def resolve() -> None:
        if not turn.done():
            turn.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(resolve)
        except RuntimeError:  # the loop is closed: no task waits there any more
            ticket.limiter.queue.leave(ticket)

    return wake


# ---------------------------------------------------------------------------
# One queue for all connections to the same server
# ---------------------------------------------------------------------------

_queues: weakref.WeakValueDictionary[Hashable, RequestQueue] = weakref.WeakValueDictionary()
_making = threading.Lock()


def queue_for(server: Hashable) -> RequestQueue:
    """Return the request queue for a server key, creating it if needed. Held weakly."""
    with _making:
        queue = _queues.get(server)
        if queue is None:
            queue = _queues[server] = RequestQueue()
        return queue


def _after_fork() -> None:
    global _making
    _making = threading.Lock()
    for queue in list(_queues.values()):
        queue.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
