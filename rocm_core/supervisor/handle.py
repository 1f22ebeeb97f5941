"""The handle of one server process: address, API key, two clients, log, end.

    ServerHandle ◀── OwnedServer          (``owned_process``: this program owns the process)
                 ◀── SharedServerLease    (``rocm_core.shared.lease``: a daemon owns it)

The supervisor sees only ``ServerHandle``; a handle sees only ``HandleOwner`` of the supervisor.
"""

from __future__ import annotations

import abc
import copy
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from rocm_core.client import AsyncClient, Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.command_line import Address
from rocm_core.engine.locate import Engine
from rocm_core.errors import (
    ProtocolError,
    RocmError,
    ServerStopped,
    ServerUnreachable,
)

# The kernel closes a dying process's sockets up to a moment before the process can be reaped.
_REAP_TIMEOUT = 1.0

OnProgress = Callable[[float], None]
"""Called with the share (0..1) of the load that is done."""


class HandleOwner(Protocol):
    """What a handle calls of its supervisor, from any thread."""

    def log_line(self, text: str) -> None:
        """Take a line that the process printed."""
        ...

    def handle_ended(self, handle: ServerHandle) -> None:
        """Take note that the process is gone; called before ``handle.ended`` is set."""
        ...

    def release_if_idle(self, handle: ServerHandle, limit: float) -> float | None:
        """Stop using a server that this program has not used for ``limit`` seconds.

        Returns:
            Seconds since the last use if they are less than ``limit``; else ``None``.
        """
        ...


class HandleFactory(Protocol):
    """Makes the handle of each start of one server."""

    owns_process: bool
    """Whether the supervisor restarts the process, and so waits for backoff and VRAM. A shared
    server is restarted by its daemon."""

    def __call__(
        self,
        ref: ModelRef,
        config: LoadConfig,
        engine: Engine,
        timeouts: Timeouts,
        owner: HandleOwner,
    ) -> ServerHandle:
        """Return a handle that nobody has used yet.

        Raises:
            RocmError: there can be no server with these options.
        """
        ...


class ServerHandle(abc.ABC):
    """One server process as this program uses it; never reused for a second process.

    Attributes:
        ref: the model.
        ended: set once the process is known to be gone.
        released: this program has stopped the process, or released its lease, on purpose.
        address: where the server listens.
        key: the server's API key; never in ``repr``, logs or arguments.
        client: blocking client of the server.
        aclient: asyncio client of the server.
    """

    address: Address
    key: str
    client: Client
    aclient: AsyncClient

    def __init__(self, ref: ModelRef, timeouts: Timeouts, owner: HandleOwner) -> None:
        """Args:
        ref: the model.
        timeouts: limits of the clients' requests, in seconds.
        owner: the supervisor.
        """
        self.ref = ref
        self.ended = threading.Event()
        self.released = False
        self._connected = False
        self._timeouts = timeouts
        self._owner = owner
        self._death: RocmError | None = None
        self._last_touched = time.monotonic()

    @property
    @abc.abstractmethod
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""

    @abc.abstractmethod
    def await_ready(self, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Wait until the server answers, or until ``cancelled`` returns true.

        Args:
            on_progress: called in this thread.
            cancelled: called at least every 0.1 s.

        Raises:
            RocmError: the server cannot be started or used.
        """

    @abc.abstractmethod
    def release(self, grace: float) -> None:
        """Abort this program's streams; stop the process, or release the lease on it.

        Args:
            grace: seconds before SIGKILL.
        """

    def forget_after_fork(self) -> None:
        """In a forked copy of this program: close what belongs to the original."""
        if self._connected:
            self.client.forget_connections()
            self.aclient.forget_connections()

    @abc.abstractmethod
    def tail(self) -> list[str]:
        """Return the last lines that the server printed, oldest first."""

    def death(self) -> RocmError | None:
        """Return a copy, to be raised, of the error that says why the server ended by itself.

        ``None`` while it runs, and if it was stopped on purpose. The error itself is made once,
        by the thread that sees the end.
        """
        return copy_error(self._death) if self._death is not None else None

    def idle_for(self) -> float:
        """Return the seconds since the last request ended; 0 while one is under way."""
        if self.client.in_flight or self.aclient.in_flight:
            return 0.0
        last_used = max(self.client.last_used, self.aclient.last_used)
        return time.monotonic() - max(self._last_touched, last_used)

    def touch(self) -> None:
        """Count from now on as used: a request is about to be sent."""
        self._last_touched = time.monotonic()

    def _report_end(self, death: RocmError | None) -> None:
        """Publish the end, with its cause: to the supervisor, then to every waiting thread.

        In this order, so that a request that fails can be answered with a restart at once.
        """
        self._death = death
        self._owner.handle_ended(self)
        self.ended.set()

    def _settings(self, timeouts: Timeouts) -> dict[str, Any]:
        return {"uds": self.address.socket, "api_key": self.key, "timeouts": timeouts}

    def _connect(self) -> None:
        settings = self._settings(self._timeouts) | {"diagnose": self._diagnose}
        self.client = Client(self.address.url, **settings)
        self.aclient = AsyncClient(self.address.url, **settings)
        self._connected = True

    def _close_clients(self) -> None:
        """Mark the handle as released, abort open streams, close the clients."""
        self.released = not self.ended.is_set()  # a process that died by itself stays dead
        if not self._connected:
            return
        self.client.abort_streams()
        self.aclient.abort_streams()
        self.client.close()

    def _diagnose(self, error: RocmError) -> RocmError:
        """Return why a request failed: the process may have died, or been stopped."""
        if not isinstance(error, (ServerUnreachable, ProtocolError)):
            return error
        if not self.released and not self.ended.wait(_REAP_TIMEOUT):
            return error
        death = None if self.released else self.death()
        return death or ServerStopped(f"the server of {self.ref.name} was stopped while in use")


def copy_error(error: RocmError) -> RocmError:
    """Return a copy to raise: one exception raised by several threads would mix tracebacks."""
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    return twin
