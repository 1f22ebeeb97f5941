"""One llama-server under supervision: start, watch, stop. The only writer of its state.

    STOPPED ──start()──▶ STARTING ──/health 200──▶ READY ──stop(), idle──▶ STOPPING ──▶ STOPPED
       ▲                    │  │                     │
       └── called off ──────┘  └──exit, stall──▶ FAILED ◀──exit──┘

A start runs in a thread of its own. Many callers may wait for one start, and each of them gets
the same outcome; when the last of them gives up waiting, the start is called off. A server that
died is FAILED at once, and the next ``start()`` starts it again (see ``restart``).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from rocm_core.client import AsyncClient, Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.locate import Engine, find_engine
from rocm_core.errors import ConfigError, PortInUse, RocmError, ServerStopped
from rocm_core.gguf import check_gguf
from rocm_core.gpu.vram_release import VramMark, VramUsed, vram_used
from rocm_core.supervisor import exit_hooks
from rocm_core.supervisor.events import LoadProgress, LogLine, Restarting, State, StateChanged
from rocm_core.supervisor.handle import HandleFactory, OnProgress, ServerHandle, again
from rocm_core.supervisor.metrics import Metrics, snapshot
from rocm_core.supervisor.owned_process import OwnedServer
from rocm_core.supervisor.restart_policy import CrashHistory
from rocm_core.supervisor.startup import Startup
from rocm_core.supervisor.subscriptions import EventBus, EventCallback, EventStream, Subscription

_PORT_ATTEMPTS = 3
_STOP_GRACE = 5.0
# Our own server may queue and prefill for as long as it lives: its death is noticed at once.
OWN_TIMEOUTS = Timeouts(first_token=None)


class SupervisedServer:
    """One supervised llama-server process, or the embedded engine in a process of its own.

    Constructing it starts nothing. Thread-safe. ``handles`` decides who owns the process, and so
    what ``stop()`` ends: the process itself, or this program's share in it.
    """

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig | None = None,
        timeouts: Timeouts = OWN_TIMEOUTS,
        *,
        handles: HandleFactory = OwnedServer,
        crashes: CrashHistory | None = None,
        vram_used: VramUsed = vram_used,
    ) -> None:
        """Args:
            ref: a file or a download (see ``rocm_core.discover.refs.resolve_ref``).
            config: how to run it.
            timeouts: limits of its clients' requests.
            handles: makes the handle of each start; default: a process that this program owns.
            crashes: how often it may be restarted; default: 5 times within 300 s.
            vram_used: reads the bytes of VRAM in use; a restart waits for what the dead
                process held.

        Raises:
            ConfigError: ``ref`` is a URL, so there is nothing to start.
        """
        if ref.kind == "url":
            raise ConfigError(f"{ref.name} is a server already; there is nothing to start")
        self.ref = ref
        self.config = config or LoadConfig()
        self._metrics: Metrics | None = None
        self._timeouts = timeouts
        self._handles = handles
        self._crashes = crashes or CrashHistory()
        self._vram = VramMark(vram_used)
        self._reset()
        exit_hooks.every.add(self)

    def _reset(self) -> None:
        self._change = threading.Condition()
        self._event_bus = EventBus()
        self._state = State.STOPPED
        self._failure: RocmError | None = None
        self._running: ServerHandle | None = None
        self._gone: ServerHandle | None = None
        self._attempt: Startup | None = None

    def __repr__(self) -> str:
        return f"Server({self.ref.name!r}, {self.state.value})"

    # -- facts ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where it is in its life; a process that died by itself is FAILED at once."""
        return self._state

    @property
    def failure(self) -> RocmError | None:
        """Why it is FAILED."""
        return self._failure if self._state is State.FAILED else None

    @property
    def is_running(self) -> bool:
        """Ready to answer."""
        return self._state is State.READY

    @property
    def pid(self) -> int | None:
        """Process id, while there is a process."""
        running = self._running
        return running.pid if running else None

    @property
    def url(self) -> str | None:
        """``http://127.0.0.1:PORT``, or ``None`` when it listens on a unix socket."""
        running = self._running if self.is_running else None
        return running.address.url if running and running.address.port is not None else None

    @property
    def api_key(self) -> str | None:
        """The private key of the running server, for clients other than ours."""
        running = self._running if self.is_running else None
        return running.key if running else None

    @property
    def client(self) -> Client:
        """The blocking client of the running server.

        Raises:
            ServerDied: it crashed.
            ServerStopped: there is no running server.
        """
        return self._ready().client

    @property
    def aclient(self) -> AsyncClient:
        """The asyncio client of the running server; raises like ``client``."""
        return self._ready().aclient

    def log_tail(self) -> list[str]:
        """The last lines the process printed, oldest first."""
        running = self._running
        return running.tail() if running else []

    def get_metrics(self) -> Metrics:
        """CPU, memory, GPUs, slots and speeds; speeds and shares since the last such call."""
        self._metrics = snapshot(self.client, self.pid, previous=self._metrics)
        return self._metrics

    async def aget_metrics(self) -> Metrics:
        """``get_metrics`` without blocking the event loop."""
        return await asyncio.to_thread(self.get_metrics)

    def _ready(self) -> ServerHandle:
        running, failure = self._running, self._failure
        if running is not None and self._state is State.READY:
            return running
        if failure is not None:
            raise again(failure)
        raise ServerStopped(f"the server of {self.ref.name} is not running")

    # -- observers --------------------------------------------------------------------------

    def subscribe(self, callback: EventCallback) -> Subscription:
        """Call ``callback`` with every ``ServerEvent`` from now on, in a thread of its own.

        A slow or raising callback harms nobody but itself; if it falls far behind it misses
        log lines, never a state. ``close()`` the subscription to end it.
        """
        return self._event_bus.subscribe(callback)

    def events(self) -> EventStream:
        """Every ``ServerEvent`` from now on, for ``async for`` on the running event loop."""
        return self._event_bus.stream()

    def log_line(self, text: str) -> None:
        """The process printed a line (for the floor below)."""
        if self._event_bus:  # there may be millions of lines, and nobody to hear them
            self._event_bus.publish(LogLine(text))

    def ended(self, running: ServerHandle) -> None:
        """The process is gone (for the floor below)."""
        with self._change:
            self._gone = running
            if running is not self._running or self._state is not State.READY:
                return
            self._failure = None if running.released else running.death()
            if self._failure is not None:
                self._crashes.add(self._failure)
            self._set(State.FAILED if self._failure else State.STOPPED)

    # -- start ------------------------------------------------------------------------------

    def start(self, on_progress: OnProgress | None = None) -> None:
        """Start it, or wait until the start that is under way is done. Ready already: returns.

        Args:
            on_progress: called in this thread with the share of the load done (0..1).

        Raises:
            EngineNotFound: nothing to run.
            ModelNotFound, InvalidGGUF: the file is missing or no model.
            ServerStartError: the process exited; not retried, but for a lost port race.
            ServerStalled: no progress for ``stall_timeout``.
            ServerStopped: ``stop()`` was called meanwhile.
            ServerDied: it crashed, and is not to be restarted (again).
        """
        if self._in_use():
            return
        attempt = self._join()
        if attempt is not None:
            with self._following(attempt):
                attempt.follow(on_progress)

    async def astart(self, on_progress: OnProgress | None = None) -> None:
        """``start`` without blocking the event loop; ``on_progress`` is called on the loop."""
        if self._in_use():
            return
        attempt = self._join()
        if attempt is not None:
            with self._following(attempt):
                await attempt.afollow(on_progress)

    def _in_use(self) -> bool:
        with self._change:
            if self._running is None or self._state is not State.READY:
                return False
            self._running.touch()
            return True

    def _join(self) -> Startup | None:
        with self._change:
            if self._in_use():
                return None
            attempt = self._attempt
            if attempt is None or attempt.cancelled:
                if refusal := self._crashes.refusal(self.failure, self.config.restart):
                    raise refusal
                attempt = self._attempt = Startup()
                threading.Thread(
                    target=self._run, args=(attempt,), name="rocm-start", daemon=True
                ).start()
            attempt.followers += 1
            return attempt

    @contextlib.contextmanager
    def _following(self, attempt: Startup) -> Iterator[None]:
        try:
            yield
        finally:
            with self._change:
                attempt.followers -= 1
                if not attempt.followers and not attempt.over:
                    self._cancel(attempt)

    def _cancel(self, attempt: Startup) -> None:
        attempt.cancelled = True
        if attempt is self._attempt and self._state is State.STARTING:
            self._set(State.STOPPING)  # the starting thread sees it and cleans up
        self._change.notify_all()

    def _run(self, attempt: Startup) -> None:
        try:
            self._begin(attempt)
            if self._handles.owns_process:
                self._recover(attempt)
            self._bring_up(attempt)
        except BaseException as error:
            self._fail(attempt, error)
        else:
            attempt.finish(None)

    def _begin(self, attempt: Startup) -> None:
        with self._change:
            self._change.wait_for(lambda: self._state not in (State.STARTING, State.STOPPING))
            self._check(attempt)
            self._set(State.STARTING)
        self._release(0.0)  # what is left of a process that died

    def _recover(self, attempt: Startup) -> None:
        """After a crash: wait as long as the backoff says, and for the VRAM."""
        if reasons := self._crashes.reasons:
            delay = self._crashes.delay()
            self._event_bus.publish(Restarting(len(reasons), delay, reasons[-1]))
            self._pause(attempt, delay)
            self._vram.await_return(lambda seconds: self._pause(attempt, seconds))
        elif self.config.gpu_layers != 0:
            self._vram.set()

    def _bring_up(self, attempt: Startup) -> None:
        engine = find_engine(self.config.engine, self.config.server_path)
        if self.ref.kind == "file":
            check_gguf(self.ref.value)
        for number in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._launch(engine, attempt)
                return
            except PortInUse:
                if self.config.port != 0 or number == _PORT_ATTEMPTS:
                    raise
                self._release(_STOP_GRACE)

    def _launch(self, engine: Engine, attempt: Startup) -> None:
        def progress(share: float) -> None:
            attempt.progress(share)
            self._event_bus.publish(LoadProgress(share))

        running = self._handles(self.ref, self.config, engine, self._timeouts, self)
        self._running = running
        exit_hooks.live.add(self)
        running.await_ready(progress, lambda: attempt.cancelled)
        progress(1.0)
        with self._change:
            self._check(attempt)
            if self._gone is running:
                raise running.death() or ServerStopped(f"{self.ref.name} was stopped")
            self._failure = None
            self._attempt = None
            running.touch()
            self._set(State.READY)

    def _fail(self, attempt: Startup, error: BaseException) -> None:
        self._release(_STOP_GRACE)
        with self._change:
            stopped = isinstance(error, ServerStopped)
            self._failure = error if isinstance(error, RocmError) and not stopped else None
            if self._failure is not None and self._crashes.reasons:
                self._crashes.add(self._failure)
            if self._attempt is attempt:
                self._attempt = None
            self._set(State.STOPPED if stopped else State.FAILED)
            attempt.finish(error)
            self._change.notify_all()

    def _pause(self, attempt: Startup, seconds: float) -> None:
        with self._change:
            self._change.wait_for(lambda: attempt.cancelled, seconds)
            self._check(attempt)

    def _check(self, attempt: Startup) -> None:
        if attempt.cancelled:
            raise ServerStopped(f"the start of {self.ref.name} was called off")

    # -- stop -------------------------------------------------------------------------------

    def stop(self, grace: float = _STOP_GRACE) -> None:
        """End the process: own streams broken off, SIGTERM twice, SIGKILL after ``grace`` s.

        Returns when it is reaped. A start that is under way fails with ``ServerStopped``. A
        shared server goes on without this program (``llama-rocm stop`` ends it).
        """
        with self._change:
            attempt = self._attempt
            if attempt is not None:
                self._cancel(attempt)
                self._change.wait_for(lambda: attempt.over)
                return
            self._change.wait_for(lambda: self._state is not State.STOPPING)
            if self._state not in (State.READY, State.FAILED):
                return
            self._set(State.STOPPING)
        self._release(grace)
        with self._change:
            self._crashes.clear()
            self._failure = None
            self._set(State.STOPPED)

    def leave_if_idle(self, running: ServerHandle, limit: float) -> float | None:
        """Let go of a shared server that this program has not used for ``limit`` seconds.

        From then on nothing here uses it: the next ``start()`` attaches anew.

        Returns:
            Seconds since the last use if that is too short, or ``None`` if it was let go.
        """
        with self._change:
            if self._state is State.STARTING:
                return 0.0
            if running is self._running and self._state is State.READY:
                idle = running.idle_for()
                if idle < limit:
                    return idle
                self._set(State.STOPPED)
            return None

    def _set(self, state: State) -> None:
        self._state = state
        self._event_bus.publish(StateChanged(state, self.failure))
        self._change.notify_all()

    def _release(self, grace: float) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.release(grace)
        exit_hooks.live.discard(self)

    def forked(self) -> None:
        """In a forked copy of the program: the process and its state stay with the original."""
        running = self._running
        self._reset()
        if running is not None:
            running.forget_after_fork()
