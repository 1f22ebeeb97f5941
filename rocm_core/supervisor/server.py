"""Start, watch, restart and stop one llama-server. The only module that changes a server's state.

    STOPPED ──start()──▶ STARTING ──/health 200──▶ READY ──stop(), idle──▶ STOPPING ──▶ STOPPED
       ▲                    │  │                     │
       └──── cancelled ─────┘  └──exit, stall──▶ FAILED ◀──exit──┘

A start runs in a thread of its own. Many callers may wait for one start, and each of them gets
the same outcome; when the last of them stops waiting, the start is cancelled. A server whose
process died is FAILED at once, and the next ``start()`` starts it again (see ``restart_policy``).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rocm_core.client import Deadline
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.gpu_judgment import resolve_backend
from rocm_core.engine.installed.choice import logged_choice, with_engine
from rocm_core.engine.locate import Engine
from rocm_core.errors import (
    ConfigError,
    PortInUse,
    RocmError,
    ServerStopped,
)
from rocm_core.gguf import check_gguf
from rocm_core.gpu.vram_release import VramBaseline, VramUsed, vram_used
from rocm_core.supervisor import exit_hooks
from rocm_core.supervisor.events import LoadProgress, Restarting, State, StateChanged
from rocm_core.supervisor.exits import last_start
from rocm_core.supervisor.handle import HandleFactory, OnProgress, ServerHandle
from rocm_core.supervisor.restart_policy import CrashHistory
from rocm_core.supervisor.startup import Startup
from rocm_core.supervisor.view import ServerView
from rocm_core.threads import start_thread

_PORT_ATTEMPTS = 3
# Seconds between the first SIGTERM and SIGKILL.
_STOP_GRACE = 5.0
# A server of our own may queue and prefill for as long as it lives: its death is noticed at once.
OWN_TIMEOUTS = Timeouts(first_token=None)


class SupervisedServer(ServerView):
    """One supervised llama-server process, or the embedded engine in a process of its own.

    Constructing it starts nothing. Thread-safe. ``handle_factory`` decides who owns the process,
    and so what ``stop()`` does: end the process, or release this program's lease on it.

    Attributes:
        config: how the server is run.
    """

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig | None = None,
        timeouts: Timeouts = OWN_TIMEOUTS,
        *,
        handle_factory: HandleFactory,
        crashes: CrashHistory | None = None,
        vram_used: VramUsed = vram_used,
    ) -> None:
        """Args:
            ref: a file or a download (see ``rocm_core.discover.refs.resolve_ref``).
            config: how to run the server; default: ``LoadConfig()``.
            timeouts: limits of its clients' requests, in seconds.
            handle_factory: makes the handle of each start, and so decides who owns the process.
            crashes: how often the server may be restarted; default: 5 times within 300 s.
            vram_used: reads the bytes of VRAM in use; a restart waits until the dead process's
                memory is free again.

        Raises:
            ConfigError: ``ref`` is a URL, so there is nothing to start.
        """
        if ref.kind == "url":
            raise ConfigError(f"{ref.name} is a server already; there is nothing to start")
        super().__init__(ref)
        self.config = config or LoadConfig()
        self._timeouts = timeouts
        self._handle_factory = handle_factory
        self._crashes = crashes or CrashHistory()
        self._vram = VramBaseline(vram_used)
        exit_hooks.every.add(self)

    def _reset(self) -> None:
        super()._reset()
        self._ended_handle: ServerHandle | None = None
        self._startup: Startup | None = None

    # -- start ------------------------------------------------------------------------------

    def start(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> None:
        """Start the server, or wait for the start that is under way. READY already: return.

        Args:
            on_progress: called in this thread with the share of the load done (0..1).
            deadline: how long this caller waits (its ``total`` limit); ``None``: to the end.

        Raises:
            EngineNotFound: there is no llama-server to run.
            ModelNotFound, InvalidGGUF: the file is missing or no model.
            ServerStartError: the process exited; not retried, but for a lost port race.
            ServerStalled: no progress for ``stall_timeout``.
            RequestTimeout: the deadline passed. The start goes on if another caller waits for it.
            ServerStopped: ``stop()`` was called meanwhile.
            ServerDied: the server crashed, and is not to be restarted (again).
        """
        if self._touch_if_ready():
            return
        with self._waiting() as waiter:
            startup = self._join(waiter)
            if startup is not None:
                startup.wait(on_progress, deadline or Deadline(OWN_TIMEOUTS))

    async def astart(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> None:
        """``start`` without blocking the event loop; ``on_progress`` is called on the loop."""
        if self._touch_if_ready():
            return
        with self._waiting() as waiter:
            startup = self._join(waiter)
            if startup is not None:
                await startup.await_outcome(on_progress, deadline or Deadline(OWN_TIMEOUTS))

    def _touch_if_ready(self) -> bool:
        with self._change:
            if self._handle is None or self._state is not State.READY:
                return False
            self._handle.touch()
            return True

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[object]:
        """Give the caller its mark as a waiter, and cancel a start that nobody waits for any more.

        Entered before the caller joins a start: Ctrl-C can come between any two lines.
        """
        waiter = object()
        try:
            yield waiter
        finally:
            with self._change:
                startup = self._startup
                if startup is not None and waiter in startup.waiters:
                    startup.waiters.remove(waiter)
                    if not startup.waiters and not startup.finished:
                        self._cancel(startup)

    def _join(self, waiter: object) -> Startup | None:
        """Count the caller as a waiter of a start, a new one if need be; ``None`` if READY."""
        with self._change:
            if self._touch_if_ready():
                return None
            startup = self._startup
            if startup is not None and not startup.cancelled:
                startup.waiters.add(waiter)
                return startup
            if refusal := self._crashes.refusal(self.failure, self.config.restart):
                raise refusal
            startup = self._startup = Startup(self.ref.name)
            startup.waiters.add(waiter)
            self._begin_thread(startup)
            return startup

    def _begin_thread(self, startup: Startup) -> None:
        thread = threading.Thread(target=self._run, args=(startup,), name="rocm-start", daemon=True)
        try:
            start_thread(thread, f"{self.ref.name} was not started")
        except BaseException:
            if thread.ident is None:  # it does not run, so nobody else ends this start
                startup.cancelled, self._startup = True, None
            raise

    def _cancel(self, startup: Startup) -> None:
        startup.cancelled = True
        if startup is self._startup and self._state is State.STARTING:
            self._set_state(State.STOPPING)  # the starting thread sees it and cleans up
        if self._handle is not None:
            self._handle.abort()  # what it asks meanwhile
        self._change.notify_all()

    # -- the starting thread ----------------------------------------------------------------

    def _run(self, startup: Startup) -> None:
        try:
            self._begin(startup)
            if self._handle_factory.owns_process:
                self._await_restart(startup)
            self._launch_on_free_port(startup)
        except BaseException as error:
            self._fail(startup, error)
        else:
            startup.finish(None)

    def _begin(self, startup: Startup) -> None:
        with self._change:
            self._change.wait_for(lambda: self._state not in (State.STARTING, State.STOPPING))
            self._raise_if_cancelled(startup)
            self._set_state(State.STARTING)
        self._release(0.0)  # files and clients of a process that died

    def _await_restart(self, startup: Startup) -> None:
        """After a crash, wait for the backoff and for the dead process's VRAM."""
        if reasons := self._crashes.reasons:
            delay = self._crashes.delay()
            self._event_bus.publish(Restarting(len(reasons), delay, reasons[-1]))
            self._pause(startup, delay)
            self._vram.await_release(lambda seconds: self._pause(startup, seconds))
        elif self.config.gpu_layers != 0:
            self._vram.record()

    def _launch_on_free_port(self, startup: Startup) -> None:
        engine = logged_choice(self.config)
        config = with_engine(resolve_backend(self.config), engine)
        if self.ref.kind == "file":
            check_gguf(self.ref.value)
        for number in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._launch(engine, config, startup)
                return
            except PortInUse:
                if self.config.port != 0 or number == _PORT_ATTEMPTS:
                    raise
                self._release(_STOP_GRACE)

    def _launch(self, engine: Engine, config: LoadConfig, startup: Startup) -> None:
        def progress(share: float) -> None:
            startup.progress(share)
            self._event_bus.publish(LoadProgress(share))

        handle = self._handle_factory(self.ref, config, engine, self._timeouts, self)
        self._handle = handle
        exit_hooks.live.add(self)
        handle.await_ready(progress, lambda: startup.cancelled)
        progress(1.0)
        with self._change:
            self._raise_if_cancelled(startup)
        handle.watch(self.config.stall_timeout)
        with self._change:
            self._raise_if_cancelled(startup)
            if self._ended_handle is handle:
                raise handle.death() or ServerStopped(f"{self.ref.name} was stopped")
            self._failure = None
            self._startup = None
            handle.touch()
            self._set_state(State.READY)
        last_start.forget(self.ref.name)

    def _fail(self, startup: Startup, error: BaseException) -> None:
        self._release(_STOP_GRACE)
        if not isinstance(error, ServerStopped):
            last_start.remember(self.ref.name, error)
        with self._change:
            stopped = isinstance(error, ServerStopped)
            self._failure = error if isinstance(error, RocmError) and not stopped else None
            if self._failure is not None and self._crashes.reasons:
                self._crashes.add(self._failure)
            if self._startup is startup:
                self._startup = None
            self._set_state(State.STOPPED if stopped else State.FAILED)
            startup.finish(error)
            self._change.notify_all()

    def _pause(self, startup: Startup, seconds: float) -> None:
        with self._change:
            self._change.wait_for(lambda: startup.cancelled, seconds)
            self._raise_if_cancelled(startup)

    def _raise_if_cancelled(self, startup: Startup) -> None:
        if startup.cancelled:
            raise ServerStopped(f"the start of {self.ref.name} was cancelled")

    # -- stop -------------------------------------------------------------------------------

    def stop(self, grace: float = _STOP_GRACE) -> None:
        """Abort this program's streams and end the process; returns when it is reaped.

        A start that is under way fails with ``ServerStopped``. Of a shared server only this
        program's lease is released: the process goes on (``llama-rocm stop`` ends it).

        Args:
            grace: seconds between the first SIGTERM and SIGKILL.
        """
        with self._change:
            startup = self._startup
            if startup is not None:
                self._cancel(startup)
                self._change.wait_for(lambda: startup.finished)
                return
            self._change.wait_for(lambda: self._state is not State.STOPPING)
            if self._state not in (State.READY, State.FAILED):
                return
            self._set_state(State.STOPPING)
        self._release(grace)
        with self._change:
            self._crashes.clear()
            self._failure = None
            self._set_state(State.STOPPED)

    def _release(self, grace: float) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.release(grace)
        exit_hooks.live.discard(self)

    # -- what the handle reports ------------------------------------------------------------

    def handle_ended(self, handle: ServerHandle) -> None:
        """Change to FAILED, or to STOPPED if it was on purpose; called by the ended handle."""
        with self._change:
            self._ended_handle = handle
            if handle is not self._handle or self._state is not State.READY:
                return
            self._failure = None if handle.released else handle.death()
            if self._failure is not None:
                self._crashes.add(self._failure)
            self._set_state(State.FAILED if self._failure else State.STOPPED)

    def release_if_idle(self, handle: ServerHandle, limit: float) -> float | None:
        """Stop using a shared server that this program has not used for ``limit`` seconds.

        From then on no request of this program reaches it: the next ``start()`` acquires a new
        lease.

        Returns:
            Seconds since the last use if they are less than ``limit``; else ``None``.
        """
        with self._change:
            if self._state is State.STARTING:
                return 0.0
            if handle is self._handle and self._state is State.READY:
                idle = handle.idle_for()
                if idle < limit:
                    return idle
                self._set_state(State.STOPPED)
            return None

    def _set_state(self, state: State) -> None:
        self._state = state
        self._event_bus.publish(StateChanged(state, self.failure))
        self._change.notify_all()

    def forget_after_fork(self) -> None:
        """In a forked copy of the program: process and state stay with the original."""
        handle = self._handle
        self._reset()
        if handle is not None:
            handle.forget_after_fork()
