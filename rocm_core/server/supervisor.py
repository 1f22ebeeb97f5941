"""One llama-server under supervision: start, watch, stop. The only writer of its state.

    STOPPED ──start()──▶ STARTING ──/health 200──▶ READY ──stop()──▶ STOPPING ──▶ STOPPED
       ▲                    │  │                     │
       └──stop() meanwhile──┘  └──exit, stall──▶ FAILED ◀──exit──┘

Many callers may wait on one start; each of them gets the same outcome. A server that died is
started again by the next ``start()``.
"""

from __future__ import annotations

import asyncio
import atexit
import enum
import os
import threading

from rocm_core.client import AsyncClient, Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.errors import (
    ConfigError,
    PortInUse,
    ProtocolError,
    RocmError,
    ServerDied,
    ServerStopped,
    ServerUnreachable,
)
from rocm_core.gguf import check_gguf
from rocm_core.refs import ModelRef
from rocm_core.server.find import Engine, find_engine
from rocm_core.server.instance import Instance, OnProgress

_PORT_ATTEMPTS = 3
_STOP_GRACE = 5.0
# Our own server may queue and prefill for as long as it lives: its death is noticed at once.
_OWN_TIMEOUTS = Timeouts(first_token=None)


class State(enum.Enum):
    """Where a server is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


class Server:
    """One supervised llama-server process, or the embedded engine in a process of its own.

    Constructing it starts nothing. Thread-safe. The process ends with ``stop()``, with this
    program, or with this program's death.
    """

    def __init__(
        self, ref: ModelRef, config: LoadConfig | None = None, timeouts: Timeouts = _OWN_TIMEOUTS
    ) -> None:
        """Args:
            ref: a file or a download (see ``rocm_core.refs.resolve_ref``).
            config: how to run it.
            timeouts: limits of its clients' requests.

        Raises:
            ConfigError: ``ref`` is a URL, so there is nothing to start.
        """
        if ref.kind == "url":
            raise ConfigError(f"{ref.value} is a server already; there is nothing to start")
        self.ref = ref
        self.config = config or LoadConfig()
        self._timeouts = timeouts
        self._change = threading.Condition()
        self._state = State.STOPPED
        self._failure: RocmError | None = None
        self._instance: Instance | None = None
        self._owner_pid = os.getpid()

    def __repr__(self) -> str:
        return f"Server({self.ref.name!r}, {self.state.value})"

    # -- facts ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where it is in its life; a process that died by itself is FAILED at once."""
        instance = self._instance
        if self._state is State.READY and instance and instance.child.exited.is_set():
            return State.FAILED
        return self._state

    @property
    def is_running(self) -> bool:
        """Ready to answer, and owned by this process (not by one it was forked from)."""
        return self.state is State.READY and self._owner_pid == os.getpid()

    @property
    def pid(self) -> int | None:
        """Process id, while there is a process."""
        instance = self._instance
        return instance.child.pid if instance and not instance.child.exited.is_set() else None

    @property
    def url(self) -> str | None:
        """``http://127.0.0.1:PORT``, or ``None`` when it listens on a unix socket."""
        instance = self._instance
        return instance.address.url if instance and instance.address.port is not None else None

    @property
    def api_key(self) -> str | None:
        """The private key of the running server, for clients other than ours."""
        return self._instance.key if self._instance else None

    @property
    def client(self) -> Client:
        """The blocking client of the running server.

        Raises:
            ServerStopped: there is no running server.
        """
        return self._running().client

    @property
    def aclient(self) -> AsyncClient:
        """The asyncio client of the running server; raises like ``client``."""
        return self._running().aclient

    def log_tail(self) -> list[str]:
        """The last lines the process printed, oldest first."""
        return self._instance.child.tail() if self._instance else []

    def get_metrics(self) -> dict[str, float]:
        """llama-server's own gauges and counters (``GET /metrics``)."""
        return self.client.metrics()

    def _running(self) -> Instance:
        if self._instance is None:
            raise self._failure or ServerStopped(f"the server of {self.ref.name} is not running")
        return self._instance

    # -- life -------------------------------------------------------------------------------

    def start(self, on_progress: OnProgress | None = None) -> None:
        """Start it, or wait until the start that is under way is done. Ready already: returns.

        Args:
            on_progress: called with the share of the load done (0..1) as it grows.

        Raises:
            EngineNotFound: nothing to run.
            ModelNotFound, InvalidGGUF: the file is missing or no model.
            ServerStartError: the process exited; not retried, but for a lost port race.
            ServerStalled: no progress for ``stall_timeout``.
            ServerStopped: ``stop()`` was called meanwhile.
        """
        if self.is_running:
            return
        with self._change:
            waited = self._await_turn()
            if self.is_running:
                return
            if waited and self._failure is not None:
                raise self._failure
            self._failure = None
            self._set(State.STARTING)
        try:
            self._start(on_progress or (lambda share: None))
        except BaseException as error:
            self._discard(_STOP_GRACE)
            with self._change:
                self._failure = error if isinstance(error, RocmError) else None
                self._set(State.STOPPED if isinstance(error, ServerStopped) else State.FAILED)
            raise

    def _await_turn(self) -> bool:
        waited = False
        while self._state in (State.STARTING, State.STOPPING):
            waited = True
            self._change.wait()
        return waited

    async def astart(self, on_progress: OnProgress | None = None) -> None:
        """``start`` without blocking the event loop."""
        if not self.is_running:
            await asyncio.to_thread(self.start, on_progress)

    def stop(self, grace: float = _STOP_GRACE) -> None:
        """End the process: own streams broken off, SIGTERM twice, SIGKILL after ``grace`` s.

        Returns when it is reaped. A start that is under way fails with ``ServerStopped``.
        """
        with self._change:
            if self._state is State.STARTING:
                self._set(State.STOPPING)  # the starting thread sees it and cleans up
                self._change.wait_for(lambda: not self._called_off())
                return
            if self._state not in (State.READY, State.FAILED):
                return
            self._set(State.STOPPING)
        self._discard(grace)
        with self._change:
            self._set(State.STOPPED)

    def _set(self, state: State) -> None:
        self._state = state
        self._change.notify_all()

    def _start(self, on_progress: OnProgress) -> None:
        self._discard(0.0)  # what is left of a process that died
        engine = find_engine(self.config.engine, self.config.server_path)
        if self.ref.kind == "file":
            check_gguf(self.ref.value)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._launch(engine, on_progress)
                return
            except PortInUse:
                if self.config.port != 0 or attempt == _PORT_ATTEMPTS:
                    raise
                self._discard(_STOP_GRACE)

    def _launch(self, engine: Engine, on_progress: OnProgress) -> None:
        self._owner_pid = os.getpid()
        instance = Instance(self.ref, self.config, engine, self._timeouts, self._diagnose)
        self._instance = instance
        _live.add(self)
        instance.await_ready(on_progress, self._called_off)
        with self._change:
            if self._called_off():
                raise ServerStopped(f"the start of {self.ref.name} was called off by stop()")
            self._set(State.READY)
        on_progress(1.0)

    def _called_off(self) -> bool:
        return self._state is State.STOPPING

    def _discard(self, grace: float) -> None:
        instance, self._instance = self._instance, None
        # A forked copy of the program owns neither the process nor its socket.
        if instance is not None and self._owner_pid == os.getpid():
            instance.discard(grace)
        _live.discard(self)

    def _diagnose(self, error: RocmError) -> RocmError:
        """Why a request failed: the process may have died, or been stopped by us."""
        if not isinstance(error, (ServerUnreachable, ProtocolError)):
            return error
        instance = self._instance
        if instance is None or self._state in (State.STOPPING, State.STOPPED):
            return ServerStopped(f"the server of {self.ref.name} was stopped while in use")
        # The kernel closes a dying process's sockets a moment before it can be reaped.
        if not instance.child.exited.wait(0.5):
            return error
        text = f"the server of {self.ref.name} {instance.exit_in_words()} while in use"
        return instance.error(ServerDied, text)


_live: set[Server] = set()


@atexit.register
def _stop_all() -> None:
    for server in list(_live):
        server.stop(grace=1.0)
