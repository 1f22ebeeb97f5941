"""One attempt at running a server: process, address, key, clients, and the way to readiness."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rocm_core.client import AsyncClient, Client
from rocm_core.client.base import Diagnose
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.errors import (
    AuthenticationError,
    EndpointNotFound,
    EngineNotFound,
    PortInUse,
    ProtocolError,
    RequestTimeout,
    ServerError,
    ServerLoading,
    ServerStalled,
    ServerStartError,
    ServerUnreachable,
)
from rocm_core.refs import ModelRef
from rocm_core.server import rundir
from rocm_core.server.command import Address, arguments, environment
from rocm_core.server.diagnosis import describe_exit, explain_failure
from rocm_core.server.find import Engine
from rocm_core.server.process import Child

log = logging.getLogger("rocm_core.server")

# A new log line wakes the wait for readiness; this is the poll for builds that log nothing.
_POLL = 0.02
_PROBE_TIMEOUTS = Timeouts(connect=1.0, first_token=1.0)
_KILLED_BY_US = (-signal.SIGTERM, -signal.SIGKILL)

E = TypeVar("E", bound=ServerError)
OnProgress = Callable[[float], None]


class Instance:
    """A spawned llama-server and everything made for it; never reused for a second process."""

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig,
        engine: Engine,
        timeouts: Timeouts,
        diagnose: Diagnose,
    ) -> None:
        """Spawn the process.

        Raises:
            EngineNotFound: the program cannot be run.
            ConfigError: an option needs a flag that the build does not have.
        """
        self.ref = ref
        self._stall_timeout = config.stall_timeout
        flags = engine.flags()
        self._directory = rundir.create()
        try:
            self.address = _address(config, self._directory)
            self.key = secrets.token_urlsafe(32)
            args = arguments(ref, config, self.address, flags, _physical_cores())
            self.command = (*engine.argv, *args)
            env = environment(os.environ, self.key, self._directory, os.getpid())
            self.child = Child(self.command, env, guarded=engine.kind == "binary")
        except OSError as error:
            rundir.remove(self._directory)
            raise EngineNotFound(f"{engine.argv[0]} cannot be started: {error}") from error
        except BaseException:
            rundir.remove(self._directory)
            raise
        settings = self._settings(timeouts) | {"diagnose": diagnose}
        self.client = Client(self.address.url, **settings)
        self.aclient = AsyncClient(self.address.url, **settings)
        log.info("started %s (pid %d) from %s", ref.name, self.child.pid, engine.source)

    def _settings(self, timeouts: Timeouts) -> dict[str, Any]:
        return {"uds": self.address.socket, "api_key": self.key, "timeouts": timeouts}

    def discard(self, grace: float) -> None:
        """Break off our own streams, end the process, remove the socket. Returns when reaped."""
        self.client.abort_streams()
        self.aclient.abort_streams()
        self.child.end(grace)
        self.client.close()
        rundir.remove(self._directory)

    def error(self, cls: type[E], text: str) -> E:
        """An error of this process, with exit code, command and log tail."""
        return cls(
            text,
            returncode=self.child.returncode,
            command=self.command,
            log_tail=self.child.tail(),
        )

    def exit_in_words(self) -> str:
        """How the process ended, with cause and remedy where the log shows a known failure."""
        code = self.child.returncode
        failure = explain_failure(self.child.tail(), code)
        words = describe_exit(code)
        return f"{words}: {failure.cause}. Remedy: {failure.remedy}" if failure else words

    # -- readiness --------------------------------------------------------------------------

    def await_ready(self, on_progress: OnProgress, called_off: Callable[[], bool]) -> None:
        """Wait until ``GET /health`` answers 200.

        Raises:
            ServerStartError: the process exited (``PortInUse``: it lost its port).
            ServerStalled: no sign of progress for ``stall_timeout``.
        """
        watch = _StallWatch(self.child, self._stall_timeout)
        shown = 0.0
        with Client(self.address.url, **self._settings(_PROBE_TIMEOUTS)) as probe:
            while not called_off():
                self.child.changed.clear()
                if self.child.exited.is_set():
                    raise self._start_failure()
                if self._answers(probe):
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
        text = f"llama-server, loading {self.ref.name}, {self.exit_in_words()}"
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
        return Address(socket=rundir.socket_in(directory))
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
