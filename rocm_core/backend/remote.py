"""The backend for a server that already runs: same model face, nothing supervised."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Iterator
from dataclasses import fields

from rocm_core.backend.base import Availability, Connection, OnProgress
from rocm_core.client import AsyncClient, Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.errors import ConfigError, EndpointNotFound, ServerLoading
from rocm_core.refs import ModelRef
from rocm_core.types import ServerProps

_USED_HERE = {"backend", "model_name", "stall_timeout"}
_POLL = 0.25
# Servers that speak the OpenAI dialect but are no llama-server have no /props.
_NO_PROPS = ServerProps(0, 0, "", "", "", {}, {}, "", {})


class RemoteConnection(Connection):
    """A server somewhere else."""

    def __init__(self, ref: ModelRef, config: LoadConfig, api_key: str | None) -> None:
        super().__init__(ref, config)
        limits = self.default_timeouts
        self._client = Client(ref.value, api_key=api_key, timeouts=limits)
        self._aclient = AsyncClient(ref.value, api_key=api_key, timeouts=limits)

    @property
    def client(self) -> Client:
        """The blocking client."""
        return self._client

    @property
    def aclient(self) -> AsyncClient:
        """The asyncio client."""
        return self._aclient

    @property
    def default_timeouts(self) -> Timeouts:
        """With a limit on the first token: nobody tells us when a remote server hangs."""
        return Timeouts()

    def ready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """Wait, at most ``stall_timeout``, until the server has loaded its model.

        Raises:
            ServerLoading: it is still loading after that.
            ServerUnreachable, AuthenticationError: at once.
        """
        for pause in self._attempts():
            try:
                self.props = self.props or self._client.props()
            except EndpointNotFound:
                self.props = _NO_PROPS
            except ServerLoading:
                if pause is None:
                    raise
                time.sleep(pause)
                continue
            break
        assert self.props is not None
        return self.props

    async def aready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """``ready`` without blocking the event loop."""
        for pause in self._attempts():
            try:
                self.props = self.props or await self._aclient.props()
            except EndpointNotFound:
                self.props = _NO_PROPS
            except ServerLoading:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
                continue
            break
        assert self.props is not None
        return self.props

    def _attempts(self) -> Iterator[float | None]:
        """Pauses between attempts; ``None`` marks the last one."""
        end = time.monotonic() + self.config.stall_timeout
        while time.monotonic() < end:
            yield _POLL
        yield None

    def release(self) -> None:
        """Break off open streams; the server goes on."""
        self._client.close()
        self._aclient.abort_streams()


class RemoteBackend:
    """A llama-server (or another server of its dialect) that somebody else runs."""

    name = "remote"

    def available(self) -> bool:
        """Always: it needs nothing of this machine."""
        return True

    def probe(self) -> Availability:
        """Always."""
        return Availability(True)

    def load_model(
        self, ref: ModelRef, config: LoadConfig, api_key: str | None = None
    ) -> Connection:
        """A connection to the server at ``ref``.

        Raises:
            ConfigError: ``ref`` is not a URL.
        """
        if ref.kind != "url":
            raise ConfigError(f"backend 'remote' needs an http(s):// URL, not {ref.value!r}")
        _warn_of_unused(config)
        return RemoteConnection(ref, config, api_key)


def _warn_of_unused(config: LoadConfig) -> None:
    plain = LoadConfig()
    unused = [
        f.name
        for f in fields(config)
        if f.name not in _USED_HERE and getattr(config, f.name) != getattr(plain, f.name)
    ]
    if unused:
        warnings.warn(f"{', '.join(unused)}: no effect on a server that already runs", stacklevel=4)
