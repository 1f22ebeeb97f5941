"""Hand a server's events to whoever wants them, without ever waiting for them.

    supervisor ──put──▶ mailbox ──▶ a thread of its own ──▶ callback
                   └──▶ mailbox ──▶ the event loop      ──▶ ``async for``

Each observer has a mailbox, so a slow one is late alone and a raising one fails alone. A full
mailbox drops log lines and load progress; states and restarts always arrive.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import threading
import weakref
from collections.abc import Callable
from types import TracebackType

from rocm_core.supervisor.events import LoadProgress, LogLine, ServerEvent

log = logging.getLogger("rocm_core.server")

EventCallback = Callable[[ServerEvent], None]
_CAPACITY = 2000


class _Mailbox:
    """Events on their way to one observer."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.closed = False
        self._wake = wake
        self._lock = threading.Lock()
        self._events: collections.deque[ServerEvent] = collections.deque()

    def put(self, event: ServerEvent) -> None:
        with self._lock:
            if self.closed:
                return
            if len(self._events) >= _CAPACITY and isinstance(event, (LogLine, LoadProgress)):
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
    """A callback's share of the events; ``close()`` it, or use it as a context manager."""

    def __init__(self, callback: EventCallback) -> None:
        self._arrived = threading.Event()
        self.mailbox = _Mailbox(self._arrived.set)
        self._callback = callback
        threading.Thread(target=self._deliver, name="rocm-observer", daemon=True).start()

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
        """No further events; callable from anywhere, the callback itself included."""
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
                    log.warning("an observer failed on %r", event, exc_info=True)


class EventStream:
    """The events as an asynchronous iterator, on the event loop that made it."""

    def __init__(self) -> None:
        loop, self._arrived = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(self._arrived.set)
            except RuntimeError:  # the loop is closed: nobody reads any more
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
        """No further events; a pending ``async for`` ends."""
        self.mailbox.close()


class EventBus:
    """Everyone who watches one server."""

    def __init__(self) -> None:
        # Weak: an event stream that its reader has dropped is gone without a goodbye.
        self._mailboxes: weakref.WeakSet[_Mailbox] = weakref.WeakSet()

    def __bool__(self) -> bool:
        return len(self._mailboxes) > 0

    def subscribe(self, callback: EventCallback) -> Subscription:
        """Call ``callback`` with every event from now on, in a thread of its own."""
        subscription = Subscription(callback)
        self._mailboxes.add(subscription.mailbox)
        return subscription

    def stream(self) -> EventStream:
        """Every event from now on; needs a running event loop."""
        stream = EventStream()
        self._mailboxes.add(stream.mailbox)
        return stream

    def publish(self, event: ServerEvent) -> None:
        """Pass an event on; never blocks."""
        for mailbox in list(self._mailboxes):
            if mailbox.closed:
                self._mailboxes.discard(mailbox)
            else:
                mailbox.put(event)
