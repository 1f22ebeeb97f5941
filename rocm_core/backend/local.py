"""The backends that run llama.cpp on this machine, sharing servers inside the process."""

from __future__ import annotations

import warnings
import weakref
from dataclasses import fields, replace
from typing import NoReturn

from rocm_core.backend.base import Availability, Connection, OnProgress
from rocm_core.backend.pool import pool
from rocm_core.client import AsyncClient, Client, Deadline, calls
from rocm_core.config import LoadConfig, RemoteConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.gpu_judgment import AUTO, judge_gpu, on_cpu
from rocm_core.errors import BackendUnavailable, ConfigError, EngineNotFound, ServerStopped
from rocm_core.server import find_engine
from rocm_core.threads import beside_loop
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
            await beside_loop(self._released_meanwhile)
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
        self._compare_context(props.n_ctx)
        self.props, self._pid = props, self.server.pid

    def _compare_context(self, opened: int) -> None:
        # llama-server cuts what is longer than the model was trained for, in its log alone
        # ("the slot context (…) exceeds the training context of the model (…) - capping").
        wanted = self.config.context_len
        if self.props is None and 0 < opened < wanted:
            warnings.warn(
                f"context_len={wanted}: the server of {self.ref.name} opened {opened} tokens for "
                "each slot, which is as long as the model goes. Ask for no more than that, or for "
                "0, the model's own length.",
                stacklevel=2,
            )

    def release(self) -> None:
        """Release the server, and return once it has stopped if this was its last connection."""
        if self._finalizer.detach():
            pool.release((self.ref, self.config))


def _slots_are_ours(config: LoadConfig) -> bool:
    """Return whether each slot has a context of its own, and this program alone uses the server."""
    shared = config.parallel is None or {"-kvu", "--kv-unified"} & set(config.extra_args)
    return not (shared or config.keep_alive or config.embeddings or config.rerank)


class LocalBackend:
    """A backend that runs llama.cpp's server on this machine."""

    name = "local"

    def available(self) -> bool:
        """Return whether it can run on this machine with the default options."""
        return self.probe().ok

    def probe(self, config: LoadConfig | None = None) -> Availability:
        """Return whether it can run a server with ``config`` on this machine, and the reasons.

        Raises:
            ConfigError: an option does not fit this machine.
        """
        raise NotImplementedError

    def server_config(self, config: LoadConfig) -> LoadConfig:
        """Return ``config`` for a ``Server`` that runs as this backend's models do.

        Raises:
            BackendUnavailable: it cannot run here.
        """
        raise NotImplementedError

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """Return a connection to a server for ``ref``, which is started at first use.

        Raises:
            BackendUnavailable: it cannot run here.
            ConfigError: ``ref`` is a URL, ``remote`` has an ``api_key``, or an option does not fit
                this machine.
        """
        if ref.kind == "url":
            raise ConfigError(f"{ref.name} is a running server: use backend='remote' or 'auto'")
        if remote is not None and remote.api_key:
            raise ConfigError(
                "api_key belongs to a remote server; a server of our own makes its own key"
            )
        _warn_of_unused(remote or RemoteConfig())
        return LocalConnection(ref, self.server_config(config))


def _warn_of_unused(remote: RemoteConfig) -> None:
    plain = RemoteConfig()
    unused = [f.name for f in fields(remote) if getattr(remote, f.name) != getattr(plain, f.name)]
    if unused:
        warnings.warn(
            f"{', '.join(unused)}: no effect on a model that is loaded on this machine; for a "
            "running server give its URL (base_url=, or as the model)",
            stacklevel=4,
        )


class RocmBackend(LocalBackend):
    """Runs on a GPU, with any engine that can use one: HIP, or Vulkan or CUDA if it sees one."""

    name = "rocm"

    def probe(self, config: LoadConfig | None = None) -> Availability:
        """Return whether ``config`` uses a GPU here, and why not, or which ones it would use."""
        judgment = judge_gpu(config or LoadConfig())
        return Availability(judgment.usable, judgment.reasons)

    def server_config(self, config: LoadConfig) -> LoadConfig:
        """Return ``config`` for a ``Server`` on the GPU.

        Raises:
            BackendUnavailable: there is no usable GPU, or no engine for it.
            ConfigError: ``devices`` names a GPU that this machine lacks.
        """
        judgment = judge_gpu(config)
        if not judgment.usable:
            raise BackendUnavailable(f"backend 'rocm' cannot run here: {judgment.why}")
        return replace(config, backend=self.name)


class CpuBackend(LocalBackend):
    """Runs on the CPU, wherever an engine is installed."""

    name = "cpu"

    def probe(self, config: LoadConfig | None = None) -> Availability:
        """Return whether there is an engine for ``config``, and why not."""
        config = config or LoadConfig()
        try:
            find_engine(config.engine, config.server_path)
        except EngineNotFound as error:
            return Availability(False, (str(error),))
        return Availability(True)

    def server_config(self, config: LoadConfig) -> LoadConfig:
        """Return ``config`` for a ``Server`` on the CPU.

        Warns, once per process and cause, if nobody chose the CPU and the machine has a GPU.

        Raises:
            BackendUnavailable: ``devices`` or ``require_gpu`` asks for a GPU.
        """
        return on_cpu(config, judge_gpu(config) if config.backend in AUTO else None)
