"""Who may ask a server now, and who waits: one fair queue per server and process.

    enter ──a place is free──────────────▶ in flight ──leave──▶ the head of the queue goes in
      └──all taken──▶ queue (FIFO) ──▶ in flight
                        ├─ queue full, or queue_timeout passed → ServerBusy
                        └─ cancelled, or the model closed      → out of the queue

Threads and event loops wait in the same queue. A place that becomes free is handed to the head
of the queue, so nobody overtakes.

Generators are closed by the garbage collector too, which may run in the middle of anything here,
and an interrupt may come between any two lines. So places are tokens in a set: taking and giving
back are one atomic step each, leaving never waits for the lock, and a request that is dropped
gives its place back.
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

from rocm_core.backend.seats import Seats
from rocm_core.errors import ServerBusy, ServerStopped


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one model may ask of its server at once.

    Attributes:
        in_flight: most requests at once; ``None`` for no limit.
        queue: most requests that wait; ``None`` for no limit.
        timeout: seconds that one waits; ``None`` for no limit.
    """

    in_flight: int | None = None
    queue: int | None = 32
    timeout: float | None = 30.0


class Gate:
    """The places and the queue of one server."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everybody: in a forked copy of the program the requests are not its own."""
        self._lock = threading.Lock()
        self._inside: set[object] = set()
        self._queue: deque[Request] = deque()
        self._seats: Seats | None = None

    def seats(self, slots: int) -> Seats:
        """The slots of the server, for all who share it."""
        with self._lock:
            self._seats = self._seats or Seats(slots)
            return self._seats

    @property
    def in_flight(self) -> int:
        """Requests that were let in and are not over."""
        return len(self._inside)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return sum(not request.gone for request in list(self._queue))

    def enter(self, request: Request) -> bool:
        """Let it in if there is a place and nobody waits; whether it is in."""
        limit = request.limits.in_flight
        try:
            with self._lock:
                if limit is None or (len(self._inside) < limit and not self._queue):
                    self._inside.add(request.token)
                    return True
                return False
        finally:
            if self._queue:
                self._hand_over()

    def stand(self, request: Request) -> None:
        """Put it into the queue; ``request.wake`` tells when it is in.

        Raises:
            ServerBusy: the queue is full.
        """
        try:
            with self._lock:
                self._queue = deque(r for r in self._queue if not r.gone)
                most = request.limits.queue
                if most is not None and len(self._queue) >= most:
                    raise self.busy(f"and no more may wait (max_queue={most})")
                self._queue.append(request)
        finally:
            self._hand_over()

    def leave(self, request: Request) -> None:
        """Give up the place, or the turn; never blocks."""
        request.gone = True
        self._inside.discard(request.token)
        if self._queue:
            self._hand_over()

    def turn_away(self, owner: Admission) -> None:
        """Wake every waiting request of one model without letting it in."""
        with self._lock:
            refused = [r for r in self._queue if r.admission is owner]
            for request in refused:
                request.gone = True
        for request in refused:
            request.wake()
        self._hand_over()

    def busy(self, what: str) -> ServerBusy:
        """The error of a request that does not get in."""
        return ServerBusy(
            f"{self.in_flight} requests are under way, {self.waiting} wait, {what}. Try again "
            "later, load the model with more slots (parallel), or raise that limit. A stream "
            "that is held open without being read keeps its place."
        )

    def _hand_over(self) -> None:
        # Who finds the lock taken leaves the work to its holder, who looks again after release.
        while self._head_moves() and self._lock.acquire(blocking=False):
            request = None
            try:
                if self._head_moves():
                    request = self._queue.popleft()
                    self._inside.add(request.token)
                    if request.gone:  # it may have left meanwhile, before it was in
                        self._inside.discard(request.token)
            finally:
                self._lock.release()
            if request is not None and not request.gone:
                request.wake()

    def _head_moves(self) -> bool:
        try:
            head = self._queue[0]
        except IndexError:
            return False
        limit = head.limits.in_flight
        return head.gone or limit is None or len(self._inside) < limit


class Admission:
    """One model's way through the gate of its server."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.limits = Limits()
        self.mine: set[object] = set()
        self.closed = False
        self.empty = threading.Event()

    def request(self) -> Request:
        """A context manager, blocking and asyncio, around one request.

        Raises:
            ServerBusy: on entering: the queue is full, or the turn did not come in time.
            ServerStopped: on entering: the model is being closed.
        """
        return Request(self)

    def drain(self, seconds: float) -> bool:
        """Turn away who waits, let nobody in any more, and wait for those inside.

        Returns:
            Whether all of them were done within ``seconds``.
        """
        self.closed = True
        self.gate.turn_away(self)
        return not self.mine or self.empty.wait(seconds)


class Request:
    """One request on its way: waiting, in flight, over."""

    __slots__ = ("admission", "gone", "limits", "token", "wake")

    wake: Callable[[], None]

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.limits = admission.limits
        self.token = object()
        self.gone = False

    def __enter__(self) -> None:
        if self._enters():
            return
        turn = threading.Lock()
        turn.acquire()
        self.wake = turn.release
        try:
            self.admission.gate.stand(self)
            limit = self.limits.timeout
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
            self.admission.gate.stand(self)
            done, _ = await asyncio.wait({turn}, timeout=self.limits.timeout)
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
        if not self.gone:
            self._leave()

    def _enters(self) -> bool:
        admission = self.admission
        admission.mine.add(self.token)
        if admission.closed:
            self._leave()
            raise _closing()
        return admission.gate.enter(self)

    def _check(self, in_time: bool) -> None:
        if not in_time:
            limit = self.limits.timeout
            raise self.admission.gate.busy(f"and none ended within {limit:g} s (queue_timeout)")
        if self.gone:
            raise _closing()

    def _leave(self) -> None:
        admission = self.admission
        admission.gate.leave(self)
        admission.mine.discard(self.token)
        if admission.closed and not admission.mine:
            admission.empty.set()


def _closing() -> ServerStopped:
    return ServerStopped("the model is being closed; it takes no more requests")


def _waker(
    loop: asyncio.AbstractEventLoop, turn: asyncio.Future[None], request: Request
) -> Callable[[], None]:
    def resolve() -> None:
        if not turn.done():
            turn.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(resolve)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            request.admission.gate.leave(request)

    return wake


# ---------------------------------------------------------------------------
# One gate for all who use the same server
# ---------------------------------------------------------------------------

_gates: weakref.WeakValueDictionary[Hashable, Gate] = weakref.WeakValueDictionary()
_making = threading.Lock()


def gate_of(server: Hashable) -> Gate:
    """The gate of a server, by whatever stands for it; it lives while somebody holds it."""
    with _making:
        gate = _gates.get(server)
        if gate is None:
            gate = _gates[server] = Gate()
        return gate


def _after_fork() -> None:
    global _making
    _making = threading.Lock()
    for gate in list(_gates.values()):
        gate.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
