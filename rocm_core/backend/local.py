"""The backends that run llama.cpp on this machine, sharing servers inside the process."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import replace
from typing import NoReturn

from rocm_core.backend.base import Availability, Connection, OnProgress
from rocm_core.backend.pool import pool
from rocm_core.client import AsyncClient, Client
from rocm_core.config import LoadConfig, RemoteConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.gpu_placement import choose_gpus, sees_other_gpu, why_none
from rocm_core.errors import BackendUnavailable, ConfigError, EngineNotFound, ServerStopped
from rocm_core.gpu import kfd_problem
from rocm_core.server import find_engine
from rocm_core.types import ServerProps


class LocalConnection(Connection):
    """A share in a supervised server."""

    def __init__(self, ref: ModelRef, config: LoadConfig) -> None:
        super().__init__(ref, config)
        self.server = pool.take((ref, config))
        self._finalizer = weakref.finalize(self, pool.give_back_later, (ref, config))
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
        """Whether its process runs and is ready."""
        return self.server.is_running

    @property
    def default_timeouts(self) -> Timeouts:
        """No limit on the first token while our own server lives: its death is noticed."""
        return Timeouts(first_token=None)

    def ready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """Start the server unless it runs."""
        self.server.start(on_progress)
        if not self._finalizer.alive:
            self._released_meanwhile()
        if self.props is None or self._pid != self.server.pid:
            self._keep(self.server.client.props())
        assert self.props is not None
        return self.props

    async def aready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """Start the server unless it runs."""
        await self.server.astart(on_progress)
        if not self._finalizer.alive:
            await asyncio.to_thread(self._released_meanwhile)
        if self.props is None or self._pid != self.server.pid:
            self._keep(await self.server.aclient.props())
        assert self.props is not None
        return self.props

    def _released_meanwhile(self) -> NoReturn:
        pool.end_unheld((self.ref, self.config), self.server)
        raise ServerStopped(f"the model {self.ref.name} was closed while it was asked")

    def _keep(self, props: ServerProps) -> None:
        self.join_queue(self.server, props.total_slots)
        if _slots_are_ours(self.config):
            self.affinity = self.limiter.queue.affinity(props.total_slots)
        self.props, self._pid = props, self.server.pid

    def release(self) -> None:
        """Let go of the server."""
        if self._finalizer.detach():
            pool.give_back((self.ref, self.config))


def _slots_are_ours(config: LoadConfig) -> bool:
    """Whether each slot has a context of its own, and nobody else asks this server."""
    shared = config.parallel is None or {"-kvu", "--kv-unified"} & set(config.extra_args)
    return not (shared or config.keep_alive or config.embeddings or config.rerank)


class _LocalBackend:
    name = "local"

    def available(self) -> bool:
        """Whether it can run on this machine."""
        return self.probe().ok

    def probe(self) -> Availability:
        """Whether, and the reasons."""
        reasons = self._problems()
        return Availability(not reasons, tuple(reasons))

    def _problems(self) -> list[str]:
        raise NotImplementedError

    def _adjust(self, config: LoadConfig) -> LoadConfig:
        # What "auto" came to be, for the server's placement.
        return replace(config, backend=self.name)

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """A share in a server for ``ref``, started at first use.

        Raises:
            ConfigError: ``ref`` is a URL.
        """
        if ref.kind == "url":
            raise ConfigError(f"{ref.name} is a running server: use backend='remote' or 'auto'")
        if remote is not None and remote.api_key:
            raise ConfigError(
                "api_key belongs to a remote server; a server of our own makes its own key"
            )
        return LocalConnection(ref, self._adjust(config))


class RocmBackend(_LocalBackend):
    """The GPU: a ``llama-server`` built for HIP, or one for Vulkan or CUDA that sees a GPU."""

    name = "rocm"

    def probe(self) -> Availability:
        """Whether, and the reasons; those of a yes name the GPUs that it would take."""
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
        """A share in a server on the GPU.

        Raises:
            BackendUnavailable: there is no usable AMD GPU.
            ConfigError: ``devices`` names a GPU that is not there.
        """
        if problem := _gpu_problem(config):
            raise BackendUnavailable(f"backend 'rocm' cannot run here: {problem}")
        return super().load_model(ref, config, remote)


def _gpu_problem(config: LoadConfig) -> str | None:
    """Why there is no GPU for ``config``, or ``None``."""
    if sees_other_gpu(config):
        return None
    if problem := kfd_problem():
        return problem
    selection = choose_gpus(config)
    return None if selection else why_none(selection)


class CpuBackend(_LocalBackend):
    """llama.cpp on the CPU; runs wherever an engine is installed."""

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
        """A share in a server on the CPU.

        Raises:
            BackendUnavailable: ``devices`` asks for a GPU.
        """
        if config.devices:
            problem = _gpu_problem(LoadConfig()) or "which can run here"
            raise BackendUnavailable(
                f"devices={list(config.devices)} asks for GPUs, and the backend is 'cpu'. Remove "
                f"devices, or use backend='rocm' ({problem})."
            )
        return super().load_model(ref, config, remote)
