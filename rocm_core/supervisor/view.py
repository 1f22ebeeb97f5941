"""What a supervised server shows to its users: state, clients, log, metrics, events.

Nothing here starts, stops or changes the server: that is ``server``.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rocm_core.client import AsyncClient, Client
from rocm_core.discover.refs import ModelRef
from rocm_core.display.report import Shown, Table
from rocm_core.errors import RocmError, ServerStopped
from rocm_core.supervisor.events import (
    EventBus,
    EventCallback,
    EventStream,
    LogLine,
    State,
    Subscription,
)
from rocm_core.supervisor.handle import ServerHandle, copy_error
from rocm_core.threads import beside_loop

if TYPE_CHECKING:
    from rocm_core.supervisor.metrics import Metrics


class ServerView(Shown):
    """The read-only face of a supervised server. Thread-safe.

    Attributes:
        ref: the model.
    """

    def __init__(self, ref: ModelRef) -> None:
        self.ref = ref
        self._metrics: Metrics | None = None
        self._reset()

    def _reset(self) -> None:
        self._change = threading.Condition()
        self._event_bus = EventBus()
        self._state = State.STOPPED
        self._failure: RocmError | None = None
        self._handle: ServerHandle | None = None

    def __repr__(self) -> str:
        return f"Server({self.ref.name!r}, {self.state.value})"

    def _table(self) -> Table:
        facts = {"state": self.state.value, "pid": self.pid, "address": self.url}
        if self.failure is not None:
            facts["failure"] = str(self.failure)
        rows: list[tuple[str, object]] = [item for item in facts.items() if item[1] is not None]
        return f"Server {self.ref.name}", (), rows

    @property
    def state(self) -> State:
        """The server's state; FAILED as soon as the process has died by itself."""
        return self._state

    @property
    def failure(self) -> RocmError | None:
        """Why the server is FAILED; ``None`` in every other state."""
        return self._failure if self._state is State.FAILED else None

    @property
    def is_running(self) -> bool:
        """Whether the server is READY to answer requests."""
        return self._state is State.READY

    @property
    def pid(self) -> int | None:
        """Process id of the server, while there is a process."""
        handle = self._handle
        return handle.pid if handle else None

    @property
    def url(self) -> str | None:
        """``http://127.0.0.1:PORT`` of a READY server; ``None`` if it listens on a unix socket."""
        handle = self._handle if self.is_running else None
        return handle.address.url if handle and handle.address.port is not None else None

    @property
    def api_key(self) -> str | None:
        """The private key of a READY server, for clients other than ``client``."""
        handle = self._handle if self.is_running else None
        return handle.key if handle else None

    @property
    def client(self) -> Client:
        """The blocking client of the READY server.

        Raises:
            ServerDied: the server crashed; as every ``failure`` it is raised as a copy.
            ServerStopped: the server is not running.
        """
        return self._ready_handle().client

    @property
    def aclient(self) -> AsyncClient:
        """The asyncio client of the READY server; raises like ``client``."""
        return self._ready_handle().aclient

    def _ready_handle(self) -> ServerHandle:
        handle, failure = self._handle, self._failure
        if handle is not None and self._state is State.READY:
            return handle
        if failure is not None:
            raise copy_error(failure)
        raise ServerStopped(f"the server of {self.ref.name} is not running")

    def log_tail(self) -> list[str]:
        """Return the last lines (up to 400) that the process printed, oldest first."""
        handle = self._handle
        return handle.tail() if handle else []

    def get_metrics(self) -> Metrics:
        """Return CPU, memory, GPUs, slots and speeds of the READY server.

        Speeds and CPU shares count from the previous call of this method.

        Raises:
            ClientError: the server does not answer.
            ServerDied, ServerStopped: as ``client``.
        """
        # Not at the top: a start does not read metrics.
        from rocm_core.supervisor.metrics import snapshot

        self._metrics = snapshot(self.client, self.pid, previous=self._metrics)
        return self._metrics

    async def aget_metrics(self) -> Metrics:
        """``get_metrics`` without blocking the event loop."""
        return await beside_loop(self.get_metrics)

    # -- events -----------------------------------------------------------------------------

    def subscribe(self, callback: EventCallback) -> Subscription:
        """Call ``callback`` with every ``ServerEvent`` from now on, in a thread of its own.

        A slow or raising callback disturbs neither the server nor other subscribers; if it falls
        far behind it misses log lines, never a state. ``close()`` the subscription to end it.
        """
        return self._event_bus.subscribe(callback)

    def events(self) -> EventStream:
        """Return every ``ServerEvent`` from now on, for ``async for`` on the running event loop."""
        return self._event_bus.stream()

    def log_line(self, text: str) -> None:
        """Publish a line that the process printed; called by the server's handle."""
        if self._event_bus:  # there may be millions of lines, and no subscriber
            self._event_bus.publish(LogLine(text))
