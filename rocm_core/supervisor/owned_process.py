"""One attempt at running a server: process, address, key, clients, and the way to readiness."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rocm_core.client import Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.diagnosis.explain import (
    describe_exit,
    error_lines,
    explain_failure,
    gpu_problem,
    gpu_use,
)
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.command_line import Address, arguments, environment
from rocm_core.engine.gpu_placement import place
from rocm_core.engine.locate import Engine
from rocm_core.errors import (
    AuthenticationError,
    EndpointNotFound,
    EngineNotFound,
    GpuNotUsed,
    PortInUse,
    ProtocolError,
    RequestTimeout,
    ServerDied,
    ServerError,
    ServerLoading,
    ServerStalled,
    ServerStartError,
    ServerUnreachable,
)
from rocm_core.supervisor import socket_dir
from rocm_core.supervisor.child_process import Child
from rocm_core.supervisor.handle import OnProgress, Owner, ServerHandle

log = logging.getLogger("rocm_core.server")

# A new log line wakes the wait for readiness; this is the poll for builds that log nothing.
_POLL = 0.02
# llama-server's log is asynchronous: its lines may come after the first answer.
_LOG_DELAY = 2.0
# A flood of log lines must not keep us from reading it.
_PAUSE = 0.002
_PROBE_TIMEOUTS = Timeouts(connect=1.0, first_token=1.0)
_KILLED_BY_US = (-signal.SIGTERM, -getattr(signal, "SIGKILL", signal.SIGTERM))

E = TypeVar("E", bound=ServerError)


class OwnedServer(ServerHandle):
    """A llama-server that this program has spawned, and everything made for it."""

    owns_process = True

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig,
        engine: Engine,
        timeouts: Timeouts,
        owner: Owner,
    ) -> None:
        """Spawn the process.

        Raises:
            EngineNotFound: the program cannot be run.
            ConfigError: an option needs a flag that the build does not have.
        """
        super().__init__(ref, timeouts, owner)
        self._stall_timeout = config.stall_timeout
        self._config = config
        flags = engine.flags()
        config = place(config, splits="-ts" in flags)
        self._directory = socket_dir.create()
        try:
            self.address = _address(config, self._directory)
            self.key = secrets.token_urlsafe(32)
            args = arguments(ref, config, self.address, flags, _physical_cores())
            self.command = (*engine.argv, *args)
            changes = dict(config.environment)
            env = environment(os.environ, self.key, self._directory, os.getpid(), changes)
            self._connect()
            self.child = Child(
                self.command,
                env,
                guarded=engine.kind == "binary",
                on_line=owner.log_line,
                on_exit=self._exited,
            )
        except OSError as error:
            socket_dir.remove(self._directory)
            raise EngineNotFound(f"{engine.argv[0]} cannot be started: {error}") from error
        except BaseException:
            socket_dir.remove(self._directory)
            raise
        log.info("started %s (pid %d) from %s", ref.name, self.child.pid, engine.source)

    @property
    def pid(self) -> int | None:
        """Process id, while it runs."""
        return None if self.child.exited.is_set() else self.child.pid

    def tail(self) -> list[str]:
        """The last lines it printed, oldest first."""
        return self.child.tail()

    def release(self, grace: float) -> None:
        """Break off our own streams, end the process, remove the socket. Returns when reaped."""
        self._break_off()
        self.child.end(grace)
        socket_dir.remove(self._directory)

    def forget_after_fork(self) -> None:
        """Close our copies of the process's pipes and of connections to it."""
        super().forget_after_fork()
        self.child.forget_after_fork()

    def error(self, cls: type[E], text: str) -> E:
        """An error of this process, with exit code, command and log tail."""
        return cls(
            text,
            returncode=self.child.returncode,
            command=self.command,
            log_tail=self.child.tail(),
        )

    def death(self) -> ServerDied:
        """That it exited, with cause and remedy where the log shows a known failure."""
        text = f"the server of {self.ref.name} {self._exit_in_words()} while in use"
        return self.error(ServerDied, text)

    def _exit_in_words(self) -> str:
        code = self.child.returncode
        failure = explain_failure(self.child.tail(), code)
        words = describe_exit(code)
        if failure:
            return f"{words}: {failure.cause}. Remedy: {failure.remedy}"
        return ": ".join([words, "; ".join(error_lines(self.child.tail()))]).removesuffix(": ")

    def _exited(self) -> None:
        # Told before anybody who waits for the end: the next start() must see it.
        self._owner.ended(self)
        self.over.set()

    # -- readiness --------------------------------------------------------------------------

    def await_ready(self, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Wait until ``GET /health`` answers 200.

        Raises:
            ServerStartError: the process exited (``PortInUse``: it lost its port).
            ServerStalled: no sign of progress for ``stall_timeout``.
            GpuNotUsed: ``require_gpu``, and the log shows nothing on a GPU.
        """
        watch = _StallWatch(self.child, self._stall_timeout)
        shown = 0.0
        with Client(self.address.url, **self._settings(_PROBE_TIMEOUTS)) as probe:
            while not cancelled():
                self.child.changed.clear()
                if self.child.exited.is_set():
                    raise self._start_failure()
                if self._answers(probe):
                    self._check_gpu()
                    return
                if self.child.progress > shown:
                    shown = self.child.progress
                    on_progress(shown)
                if watch.stalled():
                    raise self.error(
                        ServerStalled,
                        f"loading {self.ref.name} has made no progress for "
                        f"{self._stall_timeout:g} s (stall_timeout)",
                    )
                self.child.changed.wait(_POLL)
                time.sleep(_PAUSE)

    def _check_gpu(self) -> None:
        """Never silently slow: a GPU that was asked for and is not used is told at once."""
        required = self._config.require_gpu
        asked = required or (required is None and self._config.backend == "rocm")
        if not asked or not self._config.gpu_layers:
            return
        deadline = time.monotonic() + _LOG_DELAY
        while problem := gpu_problem(self.child.tail(), strict=bool(required)):
            if gpu_use(self.child.tail()).used is not None or time.monotonic() > deadline:
                break
            self.child.changed.clear()
            self.child.changed.wait(_POLL)
        if problem and required:
            raise self.error(GpuNotUsed, f"{self.ref.name} would run on the CPU: {problem}")
        if problem:
            warnings.warn(f"{self.ref.name} runs on the CPU: {problem}", RuntimeWarning, 2)

    def _answers(self, probe: Client) -> bool:
        if self.address.socket is not None and not self.address.socket.exists():
            return False
        try:
            probe.health()
            ours = self.address.port is None or self._is_ours(probe)
        except (ServerUnreachable, ServerLoading, RequestTimeout):
            return False
        if not ours:
            raise self.error(PortInUse, f"another server answers on port {self.address.port}")
        return True

    def _is_ours(self, probe: Client) -> bool:
        """A port can be answered by a stranger; ours takes our key and refuses without it."""
        with Client(self.address.url, timeouts=_PROBE_TIMEOUTS) as keyless:
            return _accepted(probe) and not _accepted(keyless)

    def _start_failure(self) -> ServerStartError:
        failure = explain_failure(self.child.tail(), self.child.returncode)
        lost_port = failure is not None and failure.name == "port_in_use"
        text = f"llama-server, loading {self.ref.name}, {self._exit_in_words()}"
        cls = PortInUse if lost_port or self._port_is_taken() else ServerStartError
        return self.error(cls, text)

    def _port_is_taken(self) -> bool:
        # llama-server's log is asynchronous: a failed bind can leave no line behind.
        if self.address.port is None or self.child.returncode in _KILLED_BY_US:
            return False
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", self.address.port))
            except OSError:
                return True
        return False


def _accepted(client: Client) -> bool:
    try:
        client.props()
    except (AuthenticationError, EndpointNotFound, ProtocolError):
        return False
    return True


class _StallWatch:
    """Tells when a process has shown no activity for too long."""

    def __init__(self, child: Child, timeout: float) -> None:
        self._child = child
        self._timeout = timeout
        self._activity = child.activity()
        self._since = time.monotonic()

    def stalled(self) -> bool:
        """No activity for the whole timeout."""
        activity, now = self._child.activity(), time.monotonic()
        if activity != self._activity:
            self._activity, self._since = activity, now
        return now - self._since > self._timeout


def _address(config: LoadConfig, directory: Path) -> Address:
    if config.port is None and hasattr(socket, "AF_UNIX"):
        return Address(socket=socket_dir.socket_in(directory))
    return Address(port=config.port or _free_port())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _physical_cores() -> int:
    """Cores without hyper-threads, as far as this process may use them."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = set()
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        try:
            cores.add(path.read_text())
        except OSError:
            continue
    return max(1, min(usable or 1, len(cores) or usable or 1))
