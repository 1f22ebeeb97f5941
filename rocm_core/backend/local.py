"""The backends that run llama.cpp on this machine, sharing servers inside the process."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import replace
from typing import NoReturn

from rocm_core.backend.base import Availability, Connection, OnProgress
from rocm_core.backend.pool import pool
from rocm_core.client import AsyncClient, Client, Deadline, calls
from rocm_core.config import LoadConfig, RemoteConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.gpu_placement import choose_gpus, sees_other_gpu, why_none
from rocm_core.errors import BackendUnavailable, ConfigError, EngineNotFound, ServerStopped
from rocm_core.gpu import kfd_problem
from rocm_core.server import find_engine
from rocm_core.types import ServerProps


class LocalConnection(Connection):
    """A connection to a server that this program starts and supervises.

    Connections with the same model and load options share one server (``pool``), which stops
    with the last of them. A connection that is garbage-collected counts as released.

    Attributes:
        server: the supervised server.
    """

    def __init__(self, ref: ModelRef, config: LoadConfig) -> None:
        super().__init__(ref, config)
        self.server = pool.acquire((ref, config))
        self._finalizer = weakref.finalize(self, pool.release_later, (ref, config))
        self._finalizer.atexit = False
        self._pid: int | None = None

    @property
    def client(self) -> Client:
        """The server's blocking client."""
        return self.server.client

    @property
    def aclient(self) -> AsyncClient:
        """The server's asyncio client."""
        return self.server.aclient

    @property
    def is_alive(self) -> bool:
        """Whether the server's process runs and is ready; no I/O."""
        return self.server.is_running

    @property
    def pid(self) -> int | None:
        """Process id of the server, while there is a process; no I/O."""
        return self.server.pid

    @property
    def default_timeouts(self) -> Timeouts:
        """No limit on the first token: the end of our own server is noticed, and that it hangs."""
        return Timeouts(first_token=None)

    def ready(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ServerProps:
        """Start the server unless it runs, and return its facts.

        Raises:
            ServerStopped: the connection was released.
            ServerStartError: the process exited before it was ready.
            ServerStalled: loading made no progress for ``stall_timeout`` seconds.
            RequestTimeout: the deadline passed; the start goes on if another caller waits for it.
            ServerDied: the process died, and ``restart`` is ``"never"``.
            GpuNotUsed: ``require_gpu`` was given, and nothing of the model is on a GPU.
        """
        deadline = deadline or Deadline(self.default_timeouts)
        self.server.start(on_progress, deadline)
        if not self._finalizer.alive:
            self._released_meanwhile()
        if self.props is None or self._pid != self.server.pid:
            self._remember(self.server.client.call(calls.props(), deadline))
        assert self.props is not None
        return self.props

    async def aready(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ServerProps:
        """``ready`` without blocking the event loop."""
        deadline = deadline or Deadline(self.default_timeouts)
        await self.server.astart(on_progress, deadline)
        if not self._finalizer.alive:
            await asyncio.to_thread(self._released_meanwhile)
        if self.props is None or self._pid != self.server.pid:
            self._remember(await self.server.aclient.call(calls.props(), deadline))
        assert self.props is not None
        return self.props

    def _released_meanwhile(self) -> NoReturn:
        pool.stop_unless_held((self.ref, self.config), self.server)
        raise ServerStopped(f"the model {self.ref.name} was closed while it was asked")

    def _remember(self, props: ServerProps) -> None:
        self.join_queue(self.server, props.total_slots)
        if _slots_are_ours(self.config):
            self.affinity = self.limiter.queue.affinity(props.total_slots)
        self.props, self._pid = props, self.server.pid

    def release(self) -> None:
        """Release the server, and return once it has stopped if this was its last connection."""
        if self._finalizer.detach():
            pool.release((self.ref, self.config))


def _slots_are_ours(config: LoadConfig) -> bool:
    """Return whether each slot has a context of its own, and this program alone uses the server."""
    shared = config.parallel is None or {"-kvu", "--kv-unified"} & set(config.extra_args)
    return not (shared or config.keep_alive or config.embeddings or config.rerank)


class _LocalBackend:
    name = "local"

    def available(self) -> bool:
        """Return whether it can run on this machine."""
        return self.probe().ok

    def probe(self) -> Availability:
        """Return whether it can run on this machine, and why not."""
        reasons = self._problems()
        return Availability(not reasons, tuple(reasons))

    def _problems(self) -> list[str]:
        raise NotImplementedError

    def _adjust(self, config: LoadConfig) -> LoadConfig:
        # The backend that "auto" has become, for the server's GPU placement.
        return replace(config, backend=self.name)

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """Return a connection to a server for ``ref``, which is started at first use.

        Raises:
            ConfigError: ``ref`` is a URL, or ``remote`` has an ``api_key``.
        """
        if ref.kind == "url":
            raise ConfigError(f"{ref.name} is a running server: use backend='remote' or 'auto'")
        if remote is not None and remote.api_key:
            raise ConfigError(
                "api_key belongs to a remote server; a server of our own makes its own key"
            )
        return LocalConnection(ref, self._adjust(config))


class RocmBackend(_LocalBackend):
    """Runs on a GPU: a ``llama-server`` built for HIP, or for Vulkan or CUDA if it sees one."""

    name = "rocm"

    def probe(self) -> Availability:
        """Return whether it can run on this machine, and why not, or which GPUs it would use."""
        if reasons := self._problems():
            return Availability(False, tuple(reasons))
        selection = choose_gpus(LoadConfig())
        chosen = tuple(f"{gpu.label}: {selection.reason}" for gpu in selection)
        return Availability(True, (*chosen, *selection.warnings))

    def _problems(self) -> list[str]:
        problems = [problem] if (problem := _gpu_problem(LoadConfig())) else []
        try:
            find_engine("binary")
        except EngineNotFound as error:
            problems.append(str(error))
        return problems

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """Return a connection to a server on the GPU, which is started at first use.

        Raises:
            BackendUnavailable: there is no usable AMD GPU.
            ConfigError: ``devices`` names a GPU that this machine lacks, or as the base class.
        """
        if problem := _gpu_problem(config):
            raise BackendUnavailable(f"backend 'rocm' cannot run here: {problem}")
        return super().load_model(ref, config, remote)


def _gpu_problem(config: LoadConfig) -> str | None:
    """Return why there is no GPU for ``config``, or ``None``."""
    if sees_other_gpu(config):
        return None
    if problem := kfd_problem():
        return problem
    selection = choose_gpus(config)
    return None if selection else why_none(selection)


class CpuBackend(_LocalBackend):
    """Runs on the CPU, wherever an engine is installed."""

    name = "cpu"

    def _problems(self) -> list[str]:
        try:
            find_engine()
        except EngineNotFound as error:
            return [str(error)]
        return []

    def _adjust(self, config: LoadConfig) -> LoadConfig:
        config = super()._adjust(config)
        if config.require_gpu:
            reason = _gpu_problem(LoadConfig()) or "backend 'cpu' was chosen"
            raise BackendUnavailable(f"require_gpu=True, and no GPU can be used: {reason}")
        return config if config.counts_gpu_layers else replace(config, gpu_layers=0)

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """Return a connection to a server on the CPU, which is started at first use.

        Raises:
            BackendUnavailable: ``devices`` or ``require_gpu`` asks for a GPU.
            ConfigError: as the base class.
        """
        if config.devices:
            problem = _gpu_problem(LoadConfig()) or "which can run here"
            raise BackendUnavailable(
                f"devices={list(config.devices)} asks for GPUs, and the backend is 'cpu'. Remove "
                f"devices, or use backend='rocm' ({problem})."
            )
        return super().load_model(ref, config, remote)
