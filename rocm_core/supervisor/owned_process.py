"""A llama-server process of this program: its address, key and clients, and its way to readiness.

Spawning and reaping are in ``child_process``. Whether a process that exited is started again is
decided in ``server``.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from rocm_core.client import Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.diagnosis.load_result import missing_adapters, missing_modality
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.command_line import (
    LOOPBACK,
    Build,
    arguments,
    check_cache_types,
    environment,
)
from rocm_core.engine.embedded_start import ELSEWHERE
from rocm_core.engine.engine_files import splits_ranks
from rocm_core.engine.gpu_placement import place_on_gpus, with_prompt_cache
from rocm_core.engine.installed.choice import process_environment
from rocm_core.engine.installed.software import asks_for_software
from rocm_core.engine.locate import Engine, engine_with
from rocm_core.errors import (
    AuthenticationError,
    ConfigError,
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
from rocm_core.gpu import list_gpus
from rocm_core.gpu.host_limits import physical_cores, threads_left
from rocm_core.gpu.vulkan import other_card
from rocm_core.supervisor import socket_dir
from rocm_core.supervisor.child_process import Child, StallWatch
from rocm_core.supervisor.exits.reason import Exit, explain_exit
from rocm_core.supervisor.handle import HandleOwner, OnProgress, ServerHandle
from rocm_core.threads import is_of_limits, no_more

log = logging.getLogger("rocm_core.server")

# A new log line wakes the wait for readiness; this is the poll for builds that log nothing.
_POLL = 0.02
# llama-server's log is asynchronous: its lines may come this long after the first answer.
_LOG_DELAY = 2.0
# The same where only a warning depends on it: its own thread may be behind on a busy machine.
_LOG_LAG = 0.3
# Between two polls, so that a flood of log lines cannot occupy this thread.
_PAUSE = 0.002
# Seconds for each answer of a server that starts, at first and at most. What the process does so
# soon after one belongs to it; while nothing moves, the pauses grow.
_PATIENCE, _MAX_PATIENCE, _SETTLED, _MAX_POLL = 1.0, 10.0, 0.005, 0.25
# Seconds for a worker of ``rpc_servers`` to take a connection.
_RPC_TIMEOUT = 3.0
_OTHER_PORT = "Remedy: choose another port, port=0 for a free one, or none for a unix socket."
_KILLED_BY_US = (-signal.SIGTERM, -getattr(signal, "SIGKILL", signal.SIGTERM))

E = TypeVar("E", bound=ServerError)


class OwnedServer(ServerHandle):
    """A llama-server process that this program owns, its socket directory and its clients.

    Attributes:
        child: the process.
        command: its command line, without secrets.
    """

    owns_process = True

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig,
        engine: Engine,
        timeouts: Timeouts,
        owner: HandleOwner,
        *,
        host: str = LOOPBACK,
        key: str | None = None,
    ) -> None:
        """Spawn the process; does not wait for it.

        Args:
            ref, config, engine, timeouts, owner: as for every ``HandleFactory``.
            host: the address that ``config.port`` belongs to.
            key: the API key; ``None``: a random one.

        Raises:
            EngineNotFound: the program cannot be run.
            ConfigError: an option needs a flag that the build does not have, or names no file; a
                worker of ``rpc_servers`` is on another machine without ``allow_insecure_rpc``.
            ServerStartError: nothing answers at an address of ``rpc_servers``.
            BackendUnavailable: backend ``"rocm"``, and there is no GPU that can be used.
        """
        super().__init__(ref, timeouts, owner)
        self._stall_timeout = config.stall_timeout
        self._host = host
        self.key = key or secrets.token_urlsafe(32)
        self._config = config
        self._engine = engine
        self._exit: Exit | None = None
        self._patience = _PATIENCE
        flags = engine.flags()
        if "--rpc" in flags:  # else the command line refuses the option
            _check_rpc_workers(config)
        check_cache_types(config, engine.cache_types())
        config = place_on_gpus(config, splits="-ts" in flags)
        config = with_prompt_cache(ref, config, flags)
        self._spawn_in_a_directory(engine, config, flags)
        log.info("started %s (pid %d) from %s", ref.name, self.child.pid, engine.source)

    def _spawn_in_a_directory(
        self, engine: Engine, config: LoadConfig, flags: frozenset[str]
    ) -> None:
        self._directory = socket_dir.create()
        try:
            self._spawn(engine, config, flags)
        except OSError as error:
            socket_dir.remove(self._directory)
            if is_of_limits(error):
                raise no_more(f"{self.ref.name} was not started", error) from error
            raise EngineNotFound(f"{engine.argv[0]} cannot be started: {error}") from error
        except BaseException:
            socket_dir.remove(self._directory)
            raise

    def _spawn(self, engine: Engine, config: LoadConfig, flags: frozenset[str]) -> None:
        self.address = socket_dir.address_of(config, self._directory, self._host)
        splits = partial(splits_ranks, engine)
        build = Build(flags, engine.title, self._directory, threads_left(), engine_with, splits)
        args = arguments(self.ref, config, self.address, build, physical_cores())
        self.command = (*engine.argv, *args)
        changes = dict(config.environment)
        env = environment(os.environ, self.key, self._directory, os.getpid(), changes)
        self._environment = env
        self._connect()
        self._spawned = time.monotonic()
        self.child = Child(
            self.command,
            env,
            with_parent_death=engine.kind == "binary",
            cwd=None if self._config.extra_args else ELSEWHERE,
            on_line=self._owner.log_line,
            on_exit=self._child_exited,
        )

    @property
    def pid(self) -> int | None:
        """Process id, while the process runs."""
        return None if self.child.exited.is_set() else self.child.pid

    def tail(self) -> list[str]:
        """Return the last lines that the process printed, oldest first."""
        return self.child.tail()

    def activity(self) -> tuple[object, ...]:
        """Return a value that differs from the last one if the process has done anything since."""
        return self.child.activity()

    def release(self, grace: float) -> None:
        """Abort this program's streams, end the process, remove the socket.

        Returns when the process is reaped.

        Args:
            grace: seconds before SIGKILL.
        """
        self._close_clients()
        self.child.stop(grace)
        socket_dir.remove(self._directory)

    def forget_after_fork(self) -> None:
        """Close the forked copy's descriptors of the process's pipes and connections."""
        super().forget_after_fork()
        self.child.forget_after_fork()

    def error(self, cls: type[E], text: str, why: Exit | None = None) -> E:
        """Return an error of this process: exit code, command, log tail; those of ``why``."""
        return cls(
            text,
            returncode=self.child.returncode,
            command=self.command,
            log_tail=self.child.tail(),
            **(why.cause_and_remedy if why else {}),
        )

    def _child_exited(self, child: Child) -> None:
        # In the thread that reaps the process, and before the supervisor's lock is taken: the
        # search in the log is the only slow part of a crash.
        self.child = child  # the process may exit before ``Child()`` has returned
        death = None
        if not self.released:
            self._exit = self._explain_exit()
            text = f"the server of {self.ref.name} {self._exit.text} while in use"
            death = self.error(ServerDied, text, self._exit)
        self._report_end(death)

    def _explain_exit(self) -> Exit:
        from rocm_core.diagnosis.kernel import Process

        code, tail = self.child.returncode, self.child.tail()
        program = Path(self.command[0]).name
        process = Process(self.child.pid, program, self._spawned, time.monotonic())
        return explain_exit(code, tail, self._environment, self._config, process)

    # -- readiness --------------------------------------------------------------------------

    def await_ready(self, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Wait until ``GET /health`` answers 200 or ``cancelled`` returns true.

        Raises:
            ServerStartError: the process exited (``PortInUse``: it lost its port), or it runs
                without a LoRA adapter or the projector that was asked for.
            ServerStalled: no sign of progress for ``stall_timeout``.
            GpuNotUsed: ``require_gpu``, and the log shows nothing on a GPU.
        """
        watch, shown = StallWatch(self.child), 0.0
        with Client(self.address.url, **self._settings(_patient(_PATIENCE))) as probe:
            self._probe = probe  # so that ``abort`` ends its wait
            while not cancelled():
                self.child.changed.clear()
                if self.child.exited.is_set():
                    raise self._start_failure()
                watch.look()
                if self._answers(probe, self._stall_timeout - watch.quiet):
                    self._check_gpu()
                    self._check_adapters(probe)
                    self._check_projector(probe)
                    return
                watch.asked()
                if self.child.progress > shown:
                    shown = self.child.progress
                    on_progress(shown)
                if watch.quiet > (limit := self._stall_timeout):
                    what = f"has made no progress for {limit:g} s (stall_timeout)"
                    raise self.error(ServerStalled, f"loading {self.ref.name} {what}")
                pause = min(_MAX_POLL, max(_POLL, watch.quiet / 20))
                self.child.exited.wait(_SETTLED if pause == _POLL else pause / 2)
                watch.look()
                self.child.changed.wait(pause)
                time.sleep(_PAUSE)

    def _check_gpu(self) -> None:
        """Warn, or raise, at once if a GPU was asked for and is not used: it would only be slow."""
        required = self._config.require_gpu
        wanted = required or (required is None and self._config.backend == "rocm")
        if not wanted or not self._config.gpu_layers:
            return
        # Its patterns are compiled for a load on a GPU alone.
        from rocm_core.diagnosis.gpu_use import gpu_problem, gpu_use

        asked = asks_for_software(self._config.devices, process_environment(self._config))
        deadline = time.monotonic() + (_LOG_DELAY if required else _LOG_LAG)
        while True:
            tail = self.child.tail()
            problem = gpu_problem(tail, strict=bool(required), software=asked)
            told = gpu_use(tail).used is not None or time.monotonic() > deadline
            if told or (not required and any("listening on" in line for line in tail)):
                break
            self.child.changed.clear()
            self.child.changed.wait(_POLL)
        if problem and required:
            raise self.error(GpuNotUsed, f"{self.ref.name} would run on the CPU: {problem}")
        if required and (other := other_card(tail, self._config.devices, list_gpus())):
            raise self.error(GpuNotUsed, f"{self.ref.name} is on another GPU: {other}")
        if problem:
            warnings.warn(f"{self.ref.name} runs on the CPU: {problem}", RuntimeWarning, 2)

    def _check_adapters(self, probe: Client) -> None:
        """Raise if a LoRA adapter is missing; set the scales that are not 1."""
        asked = self._config.lora_adapters
        if not asked:
            return
        try:
            listed = probe.lora_adapters()
        except EndpointNotFound:
            return  # an old build, which ends if it cannot load one
        if problem := missing_adapters([path for path, _ in asked], listed):
            raise self.error(ServerStartError, f"{self.ref.name}: {problem}")
        if any(scale != 1 for _, scale in asked):
            # Those of extra_args come after ours, and keep what they have.
            scales = [*(scale for _, scale in asked), *(a["scale"] for a in listed[len(asked) :])]
            probe.set_lora_adapters(dict(enumerate(scales)))

    def _check_projector(self, probe: Client) -> None:
        """Raise if a projector was given, and the server takes text only."""
        given = self._config.mmproj
        if given and (problem := missing_modality(str(given), probe.props().modalities)):
            raise self.error(ServerStartError, f"{self.ref.name}: {problem}")

    def _answers(self, probe: Client, left: float) -> bool:
        """Whether the server is ready; asked for at most ``left`` seconds."""
        if self.address.socket is not None and not self.address.socket.exists():
            return False
        probe.timeouts = _patient(min(self._patience, max(_POLL, left)))
        try:
            probe.health()
            ours = self.address.port is None or self._is_ours(probe)
        except RequestTimeout:
            self._patience = min(2 * self._patience, _MAX_PATIENCE)
            return False
        except (ServerUnreachable, ServerLoading):
            return False
        probe.timeouts = _patient(_MAX_PATIENCE)
        if not ours:
            taken = f"another server answers on port {self.address.port}"
            raise self.error(PortInUse, f"{taken}. {_OTHER_PORT}")
        return True

    def _is_ours(self, probe: Client) -> bool:
        """Whether our process answers, not another one on the same port: only ours has our key."""
        with Client(self.address.url, timeouts=probe.timeouts) as keyless:
            return _accepted(probe) and not _accepted(keyless)

    def _start_failure(self) -> ServerStartError:
        exited = self._exit or self._explain_exit()
        text = f"{self._engine.title}, loading {self.ref.name}, {exited.text}"
        if exited.failure is not None and exited.failure.name == "port_in_use":
            return self.error(PortInUse, text, exited)
        if self._port_is_taken():
            taken = f"port {self.address.port} is taken"
            return self.error(PortInUse, f"{text}; {taken}. {_OTHER_PORT}")
        return self.error(ServerStartError, text, exited)

    def _port_is_taken(self) -> bool:
        # llama-server's log is asynchronous: after a failed bind the line may be missing.
        if self.address.port is None or self.child.returncode in _KILLED_BY_US:
            return False
        with socket_dir.socket_for(self._host) as probe:
            try:
                probe.bind((self._host, self.address.port))
            except OSError:
                return True
        return False


def _patient(seconds: float) -> Timeouts:
    return Timeouts(connect=seconds, first_token=seconds)


def _accepted(client: Client) -> bool:
    try:
        client.props()
    except (AuthenticationError, EndpointNotFound, ProtocolError):
        return False
    return True


def _check_rpc_workers(config: LoadConfig) -> None:
    """Raise unless something listens at each address, and may be used.

    llama-server ignores an absent worker (``ggml-rpc.cpp`` logs it on the debug level) and puts
    all layers elsewhere.
    """
    workers = [(address, *_host_and_port(address)) for address in config.rpc_servers]
    config.check_rpc_servers()
    for address, host, port in workers:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _RPC_TIMEOUT):
                continue
        except OSError as error:
            raise ServerStartError(
                f"rpc_servers: nothing answers at {address} ({error.strerror or error}). Start the "
                f"worker there (rpc-server -H {host} -p {port}), or remove the address."
            ) from error


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.strip().rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"rpc_servers takes addresses host:port, not {address!r}")
    return host, port
