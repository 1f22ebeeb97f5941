"""The states of a server, its events, and their delivery to subscribers.

    supervisor ──publish──▶ mailbox ──▶ a thread of its own ──▶ callback
                       └──▶ mailbox ──▶ the event loop      ──▶ ``async for``

The supervisor never waits for a subscriber. Each has a mailbox, so a slow one only delays itself,
and an exception of its callback is logged. A full mailbox drops log lines and load progress; states
and restarts always arrive. Nothing here knows of processes.
"""

from __future__ import annotations

import asyncio
import collections
import enum
import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from rocm_core.errors import RocmError
from rocm_core.threads import start_thread

log = logging.getLogger("rocm_core.server")

# Events in a mailbox before log lines and progress are dropped.
_MAILBOX_CAPACITY = 2000


# ---------------------------------------------------------------------------
# States and events
# ---------------------------------------------------------------------------


class State(enum.Enum):
    """The state of a server; ``rocm_core.supervisor.server`` draws the transitions."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The server has changed its state; ``failure`` is the reason if it is FAILED now."""

    state: State
    failure: RocmError | None = None


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """``share`` (0..1) of the load is done; builds that do not report it send only 1.0."""

    share: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """The process printed a line; ``text`` is without the newline."""

    text: str


@dataclass(frozen=True, slots=True)
class Restarting:
    """A server that crashed is about to be started again.

    Attributes:
        attempt: number of crashes within the window so far (see ``restart_policy``).
        delay: seconds of backoff before the start.
        reason: first line of the last crash's message.
    """

    attempt: int
    delay: float
    reason: str


ServerEvent = StateChanged | LoadProgress | LogLine | Restarting
EventCallback = Callable[[ServerEvent], None]


# ---------------------------------------------------------------------------
# Delivery
# ---------------------------------------------------------------------------


class _Mailbox:
    """Events that one subscriber has not received yet."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.closed = False
        self._wake = wake
        self._lock = threading.Lock()
        self._events: collections.deque[ServerEvent] = collections.deque()

    def put(self, event: ServerEvent) -> None:
        with self._lock:
            if self.closed:
                return
            if len(self._events) >= _MAILBOX_CAPACITY and isinstance(
                event, (LogLine, LoadProgress)
            ):
                return
            self._events.append(event)
        self._wake()

    def take(self) -> list[ServerEvent]:
        with self._lock:
            events, self._events = list(self._events), collections.deque()
        return events

    def close(self) -> None:
        self.closed = True
        self._wake()


class Subscription:
    """Calls a callback with each event until ``close()``; also a context manager."""

    def __init__(self, callback: EventCallback) -> None:
        self._arrived = threading.Event()
        self.mailbox = _Mailbox(self._arrived.set)
        self._callback = callback
        thread = threading.Thread(target=self._deliver, name="rocm-events", daemon=True)
        start_thread(thread, "events of a server cannot be delivered")

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop calling the callback. Callable from any thread, also from the callback."""
        self.mailbox.close()

    def _deliver(self) -> None:
        while not self.mailbox.closed:
            self._arrived.wait()
            self._arrived.clear()
            for event in self.mailbox.take():
                if self.mailbox.closed:
                    return
                try:
                    self._callback(event)
                except Exception:
                    log.warning("a subscriber failed on %r", event, exc_info=True)


class EventStream:
    """An asynchronous iterator of events, on the event loop that made it."""

    def __init__(self) -> None:
        loop, self._arrived = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(self._arrived.set)
            except RuntimeError:  # the loop is closed, so nobody reads any more
                self.mailbox.closed = True

        self.mailbox = _Mailbox(wake)
        self._taken: collections.deque[ServerEvent] = collections.deque()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ServerEvent:
        while not self._taken:
            if self.mailbox.closed:
                raise StopAsyncIteration
            await self._arrived.wait()
            self._arrived.clear()
            self._taken.extend(self.mailbox.take())
        return self._taken.popleft()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration; a pending ``async for`` ends."""
        self.mailbox.close()


class EventBus:
    """The subscribers of one server."""

    def __init__(self) -> None:
        # Weak: a reader may drop its event stream without closing it.
        self._mailboxes: weakref.WeakSet[_Mailbox] = weakref.WeakSet()

    def __bool__(self) -> bool:
        return len(self._mailboxes) > 0

    def subscribe(self, callback: EventCallback) -> Subscription:
        """Call ``callback`` with every event from now on, in a thread of its own.

        Raises:
            ServerStartError: the system allows no more threads.
        """
        subscription = Subscription(callback)
        self._mailboxes.add(subscription.mailbox)
        return subscription

    def stream(self) -> EventStream:
        """Return an iterator of every event from now on; needs a running event loop."""
        stream = EventStream()
        self._mailboxes.add(stream.mailbox)
        return stream

    def publish(self, event: ServerEvent) -> None:
        """Put an event into every mailbox; never blocks."""
        for mailbox in list(self._mailboxes):
            if mailbox.closed:
                self._mailboxes.discard(mailbox)
            else:
                mailbox.put(event)
