"""A llama-server that runs, as its users see it: address, key, two clients, a log, an end.

Who owns the process differs: this program (``instance``), or a keeper that several programs
share (``attachment``).
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

# The kernel closes a dying process's sockets a moment before it can be reaped.
_DYING = 1.0

OnProgress = Callable[[float], None]


class Owner(Protocol):
    """The supervisor, as a running server sees it; called from any thread."""

    def log_line(self, text: str) -> None:
        """The process printed a line."""
        ...

    def ended(self, running: ServerHandle) -> None:
        """It is gone; called before ``running.over`` is set."""
        ...

    def leave_if_idle(self, running: ServerHandle, limit: float) -> float | None:
        """Stop using it if nobody here has for ``limit`` seconds; else seconds of idleness."""
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
        owner: Owner,
    ) -> ServerHandle:
        """Return a handle that nobody has used yet."""
        ...


class ServerHandle(abc.ABC):
    """One server process; never reused for a second one.

    Attributes:
        over: set once the process is known to be gone.
        released: we ended it, or let go of it, on purpose.
        address: where it listens.
        key: its API key; never in ``repr``, logs or arguments.
    """

    address: Address
    key: str
    client: Client
    aclient: AsyncClient

    def __init__(self, ref: ModelRef, timeouts: Timeouts, owner: Owner) -> None:
        self.ref = ref
        self.over = threading.Event()
        self.released = False
        self._connected = False
        self._timeouts = timeouts
        self._owner = owner
        self._since = time.monotonic()

    @property
    @abc.abstractmethod
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""

    @abc.abstractmethod
    def await_ready(self, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Return once it answers, or once ``cancelled`` says so."""

    @abc.abstractmethod
    def release(self, grace: float) -> None:
        """End it, or let go of it; our own streams are broken off."""

    def forget_after_fork(self) -> None:
        """In a forked copy of this program: drop what belongs to the original."""
        if self._connected:
            self.client.forget_connections()
            self.aclient.forget_connections()

    @abc.abstractmethod
    def tail(self) -> list[str]:
        """The last lines it printed, oldest first."""

    @abc.abstractmethod
    def death(self) -> RocmError | None:
        """Why it is gone, once it is ``over``; ``None`` if it was stopped on purpose."""

    def idle_for(self) -> float:
        """Seconds since the last request ended; 0 while one is under way."""
        if self.client.in_flight or self.aclient.in_flight:
            return 0.0
        return time.monotonic() - max(self._since, self.client.last_used, self.aclient.last_used)

    def touch(self) -> None:
        """It is about to be used."""
        self._since = time.monotonic()

    def _settings(self, timeouts: Timeouts) -> dict[str, Any]:
        return {"uds": self.address.socket, "api_key": self.key, "timeouts": timeouts}

    def _connect(self) -> None:
        settings = self._settings(self._timeouts) | {"diagnose": self._diagnose}
        self.client = Client(self.address.url, **settings)
        self.aclient = AsyncClient(self.address.url, **settings)
        self._connected = True

    def _break_off(self) -> None:
        self.released = not self.over.is_set()  # what died by itself stays a death
        if not self._connected:
            return
        self.client.abort_streams()
        self.aclient.abort_streams()
        self.client.close()

    def _diagnose(self, error: RocmError) -> RocmError:
        """Why a request failed: the process may have died, or been stopped."""
        if not isinstance(error, (ServerUnreachable, ProtocolError)):
            return error
        if not self.released and not self.over.wait(_DYING):
            return error
        death = None if self.released else self.death()
        return death or ServerStopped(f"the server of {self.ref.name} was stopped while in use")


def again(error: RocmError) -> RocmError:
    """A copy to raise: one exception raised by several threads would mix their tracebacks."""
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    return twin
