"""The backends that run llama.cpp on this machine, sharing servers inside the process."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from dataclasses import replace

from rocm_core.backend.base import Availability, Connection, OnProgress
from rocm_core.client import AsyncClient, Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.errors import BackendUnavailable, ConfigError, EngineNotFound
from rocm_core.gpu import kfd_problem
from rocm_core.refs import ModelRef
from rocm_core.server import Server, find_engine
from rocm_core.types import ServerProps

Key = tuple[ModelRef, LoadConfig]


class _Pool:
    """Servers by model and load options, counted: the last holder to let go stops a server.

    A holder that is garbage-collected lets go too. Finalizers run anywhere, even inside a
    lock, so they only leave a note for the janitor thread, which does the work.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Key, tuple[Server, int]] = {}
        self._notes: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._janitor: threading.Thread | None = None

    def take(self, key: Key) -> Server:
        with self._lock:
            if self._janitor is None:
                self._janitor = threading.Thread(
                    target=self._sweep, name="rocm-janitor", daemon=True
                )
                self._janitor.start()
            server, holders = self._held.get(key) or (Server(*key), 0)
            self._held[key] = (server, holders + 1)
            return server

    def give_back(self, key: Key) -> None:
        with self._lock:
            server, holders = self._held[key]
            if holders > 1:
                self._held[key] = (server, holders - 1)
                return
            del self._held[key]
        server.stop()

    def give_back_later(self, key: Key) -> None:
        self._notes.put(key)

    def _sweep(self) -> None:
        while True:
            self.give_back(self._notes.get())


_pool = _Pool()


def _forget_pool() -> None:
    # A forked copy of the program owns none of the servers, and the janitor is not in it.
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


class LocalConnection(Connection):
    """A share in a supervised server."""

    def __init__(self, ref: ModelRef, config: LoadConfig) -> None:
        super().__init__(ref, config)
        self._pool = _pool
        self.server = _pool.take((ref, config))
        self._finalizer = weakref.finalize(self, _pool.give_back_later, (ref, config))
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
    def default_timeouts(self) -> Timeouts:
        """No limit on the first token while our own server lives: its death is noticed."""
        return Timeouts(first_token=None)

    def ready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """Start the server unless it runs."""
        self.server.start(on_progress)
        if self.props is None or self._pid != self.server.pid:
            self._keep(self.server.client.props())
        assert self.props is not None
        return self.props

    async def aready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """Start the server unless it runs."""
        await self.server.astart(on_progress)
        if self.props is None or self._pid != self.server.pid:
            self._keep(await self.server.aclient.props())
        assert self.props is not None
        return self.props

    def _keep(self, props: ServerProps) -> None:
        self.props, self._pid = props, self.server.pid

    def release(self) -> None:
        """Let go of the server."""
        if self._finalizer.detach():
            self._pool.give_back((self.ref, self.config))


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
        return config

    def load_model(
        self, ref: ModelRef, config: LoadConfig, api_key: str | None = None
    ) -> Connection:
        """A share in a server for ``ref``, started at first use.

        Raises:
            ConfigError: ``ref`` is a URL.
        """
        if ref.kind == "url":
            raise ConfigError(f"{ref.value} is a running server: use backend='remote' or 'auto'")
        if api_key:
            raise ConfigError(
                "api_key belongs to a remote server; a server of our own makes its own key"
            )
        return LocalConnection(ref, self._adjust(config))


class RocmBackend(_LocalBackend):
    """AMD GPUs through ROCm: a ``llama-server`` built for HIP."""

    name = "rocm"

    def _problems(self) -> list[str]:
        problems = [problem] if (problem := kfd_problem()) else []
        try:
            find_engine("binary")
        except EngineNotFound as error:
            problems.append(str(error))
        return problems

    def load_model(
        self, ref: ModelRef, config: LoadConfig, api_key: str | None = None
    ) -> Connection:
        """A share in a server on the GPU.

        Raises:
            BackendUnavailable: there is no usable AMD GPU.
        """
        if problem := kfd_problem():
            raise BackendUnavailable(f"backend 'rocm' cannot run here: {problem}")
        return super().load_model(ref, config, api_key)


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
        return replace(config, gpu_layers=0) if config.gpu_layers < 0 else config
