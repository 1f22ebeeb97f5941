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
    ClientError,
    HTTPStatusError,
    ProtocolError,
    RocmError,
    ServerStalled,
    ServerStopped,
    ServerUnreachable,
)
from rocm_core.supervisor.child_process import kernel_activity
from rocm_core.threads import start_thread

# The kernel closes a dying process's sockets up to a moment before the process can be reaped.
_REAP_TIMEOUT = 1.0
# Seconds between two looks at a server that works, at most and at least.
_LOOK, _SHORTEST_LOOK = 5.0, 0.02
# Seconds for GET /health: a machine under load may need several for an answer.
_HEALTH_TIMEOUT, _SHORTEST_HEALTH = 10.0, 1.0

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
        self._probe: Client | None = None
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
            cancelled: called at least every 0.3 s, and after ``abort``.

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
        if self.in_flight:
            return 0.0
        last_used = max(self.client.last_used, self.aclient.last_used)
        return time.monotonic() - max(self._last_touched, last_used)

    @property
    def in_flight(self) -> int:
        """The number of this program's requests to the server that are under way."""
        return self.client.in_flight + self.aclient.in_flight

    def activity(self) -> tuple[object, ...]:
        """Return a value that differs from the last one if the process has done anything since."""
        pid = self.pid
        return kernel_activity(pid) if pid is not None else ()

    def watch(self, limit: float) -> None:
        """From now on break off requests to a server that hangs; see ``_HangWatch``.

        Args:
            limit: seconds without any sign of life.

        Raises:
            ServerStartError: the system allows no more threads.
        """
        run = _HangWatch(self, limit).run
        watch = threading.Thread(target=run, name="rocm-watch", daemon=True)
        start_thread(watch, f"the server of {self.ref.name} cannot be watched")

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

    def abort(self, cause: RocmError | None = None) -> None:
        """Break off this program's requests to the server; each caller gets a copy of ``cause``."""
        if self._probe is not None:
            self._probe.abort_streams(cause)
        if self._connected:
            self.client.abort_streams(cause)
            self.aclient.abort_streams(cause)

    def _close_clients(self) -> None:
        """Mark the handle as released, abort open streams, close the clients."""
        self.released = not self.ended.is_set()  # a process that died by itself stays dead
        if not self._connected:
            return
        self.abort()
        self.client.close()

    def _diagnose(self, error: RocmError) -> RocmError:
        """Return why a request failed: the process may have died, or been stopped."""
        if not isinstance(error, (ServerUnreachable, ProtocolError)):
            return error
        if not self.released and not self.ended.wait(_REAP_TIMEOUT):
            return error
        death = None if self.released else self.death()
        return death or ServerStopped(f"the server of {self.ref.name} was stopped while in use")


class _HangWatch:
    """Breaks off the requests to a server that shows no sign of life while it owes answers.

    That is, for a whole limit: no CPU time, no memory touched, no line printed (``activity``), and
    no answer to ``GET /health``, which llama-server gives from another thread than the one that
    works. So a server that was stopped (SIGSTOP, a debugger) is noticed, but neither a long prefill
    nor a queue of requests is taken for it. The process is left alone: once it goes on, it serves
    the next request.
    """

    def __init__(self, handle: ServerHandle, limit: float) -> None:
        self._handle = handle
        self._limit = limit
        self._pause = min(_LOOK, max(_SHORTEST_LOOK, limit / 10))
        self._health = min(_HEALTH_TIMEOUT, limit, max(_SHORTEST_HEALTH, limit / 2))
        self._seen: tuple[object, ...] = ()
        self._since = 0.0

    def run(self) -> None:
        """Watch until the process has ended."""
        handle = self._handle
        while not handle.ended.wait(self._pause):
            if not handle.in_flight:
                self._alive(())
                continue
            activity = handle.activity()
            if activity != self._seen:
                self._alive(activity)
            elif time.monotonic() - self._since >= self._limit - self._health:
                self._ask()

    def _alive(self, activity: tuple[object, ...]) -> None:
        self._seen, self._since = activity, time.monotonic()

    def _ask(self) -> None:
        handle, timeouts = self._handle, Timeouts(connect=self._health, first_token=self._health)
        try:
            with Client(handle.address.url, **handle._settings(timeouts)) as client:
                client.health()
        except (HTTPStatusError, ProtocolError):
            pass
        except ClientError:
            if time.monotonic() - self._since >= self._limit and not handle.ended.is_set():
                handle.abort(self._error())
            self._seen = handle.activity()  # what it did with the question is no sign of life
            return
        self._alive(handle.activity())

    def _error(self) -> ServerStalled:
        handle = self._handle
        return ServerStalled(
            f"the server of {handle.ref.name} (pid {handle.pid}) has shown no sign of life for "
            f"{self._limit:g} s (stall_timeout): no CPU time, no log line, no answer to GET "
            "/health. If it was stopped (SIGSTOP, a debugger), let it go on (SIGCONT); if it "
            "hangs, close the model and load it again.",
            log_tail=handle.tail(),
        )


def copy_error(error: RocmError) -> RocmError:
    """Return a copy to raise: one exception raised by several threads would mix tracebacks."""
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    return twin
