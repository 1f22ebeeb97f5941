"""The backend for a server that somebody else runs: nothing here starts or stops it."""

from __future__ import annotations

import contextlib
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rocm_core.backend.base import Availability, Connection, Dialect, OnProgress
from rocm_core.backend.endpoint_probe import ABSENT, ProbeResult, ServerProbe, probe_server
from rocm_core.client import (
    AsyncClient,
    Chat,
    Client,
    Deadline,
    GenerationRequest,
    Infill,
    arun_steps,
    calls,
    run_steps,
)
from rocm_core.client.plain_http.httpx_import import httpx
from rocm_core.config import Api, LoadConfig, RemoteConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.errors import ClientError, ConfigError, HTTPStatusError, ProtocolError
from rocm_core.types import ServerProps

_USED_HERE = {"backend", "model_name", "stall_timeout", "embeddings", "rerank"}


class RemoteConnection(Connection):
    """A connection to a server that somebody else runs, on this machine or elsewhere."""

    def __init__(self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig) -> None:
        super().__init__(ref, config)
        settings: dict[str, Any] = {
            "api_key": remote.api_key,
            "headers": remote.headers,
            "timeouts": self.default_timeouts,
            "tls": _tls(remote) if ref.value.startswith("https://") else None,
        }
        self._client = Client(ref.value, **settings)
        self._aclient = AsyncClient(ref.value, **settings)
        self._probe = ServerProbe(
            self._client.address, config.model_name, remote.api, config.stall_timeout
        )
        self._probed: ProbeResult | None = None
        for client in (self._client, self._aclient):
            client.model = config.model_name

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
        """With a limit on the first token: nothing else tells that a remote server hangs."""
        return Timeouts()

    @property
    def model_name(self) -> str | None:
        """The model's id on the server; before ``ready`` the name that was given."""
        return self._probed.model if self._probed else self.config.model_name

    @property
    def chat_dialect(self) -> Dialect:
        """Which endpoint takes conversations, as the probe found out."""
        return self._probed.chat if self._probed else "openai"

    @property
    def completion_dialect(self) -> Dialect:
        """Which endpoint takes raw prompts, as the probe found out."""
        return self._probed.completion if self._probed else "native"

    @property
    def api(self) -> Api:
        """Which dialect was asked for (``api=``)."""
        return self._probe.api

    @property
    def on_this_machine(self) -> bool:
        """Whether the address is this machine's loopback."""
        host = (urlsplit(self._client.base_url).hostname or "").rstrip(".")
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    def answers(self, timeout: float = 1.0) -> bool:
        """Return whether the server answers ``GET /health`` within ``timeout`` seconds.

        Any HTTP answer counts (other servers have no ``/health``), unless it says that the model
        is being loaded, or comes from a proxy that cannot reach the server (5xx).
        """
        if self.props is None:
            return False
        limits = Timeouts(connect=timeout, first_token=timeout, idle=timeout, total=timeout)
        try:
            self._client.call(calls.health(), limits)
        except HTTPStatusError as error:
            return error.status < 500 or error.status in ABSENT
        except ProtocolError:
            return True
        except ClientError:
            return False
        return True

    @contextlib.contextmanager
    def naming_options(self, request: GenerationRequest) -> Iterator[None]:
        """Add to the error of a missing endpoint which ``api=`` helps."""
        try:
            yield
        except HTTPStatusError as error:
            # A server of the OpenAI dialect also says 404 for a model that it lacks.
            if error.status not in ABSENT or "model" in error.message.lower():
                raise
            remedy = missing_endpoint(request, self.chat_dialect, self.completion_dialect)
            raise type(error)(
                f"{error} {remedy}", status=error.status, type=error.type, message=error.message
            ) from error

    def ready(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ServerProps:
        """Probe the server, once, and return its facts.

        A server that is still loading its model is waited for, at most ``stall_timeout`` seconds.

        Raises:
            ServerLoading: it is still loading after that.
            RequestTimeout: the deadline, or a limit of a phase, passed before that.
            ModelNotFound: it has several models, and not the wanted one.
            ServerUnreachable, AuthenticationError: at once.
        """
        if self.props is not None:
            return self.props
        limits = deadline or Deadline(self.default_timeouts)
        steps = probe_server(self._probe, limits)
        return self._remember(run_steps(steps, lambda call: self._client.call(call, limits)))

    async def aready(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ServerProps:
        """``ready`` without blocking the event loop."""
        if self.props is not None:
            return self.props
        limits = deadline or Deadline(self.default_timeouts)
        steps = probe_server(self._probe, limits)
        found = await arun_steps(steps, lambda call: self._aclient.call(call, limits))
        return self._remember(found)

    def _remember(self, found: ProbeResult) -> ServerProps:
        for client in (self._client, self._aclient):
            client.model, client.routed = found.model, found.routed
        server = (self._probe.url, found.model) if found.routed else self._probe.url
        self.join_queue(server, found.props.total_slots)
        self._probed = found
        self.decides_only = found.decides_only
        self.props = found.props
        return found.props

    def release(self) -> None:
        """Break off the requests that are under way; the server goes on."""
        self._client.close()
        self._aclient.abort_streams()


def missing_endpoint(request: GenerationRequest, chat: Dialect, completion: Dialect) -> str:
    """Return what to do about a server that lacks the endpoint for a request.

    Args:
        request: the request.
        chat, completion: the dialects that are used for conversations, and for raw prompts.
    """
    if isinstance(request, Infill):
        return "Only a llama-server has /infill."
    if isinstance(request, Chat) and chat == "native":
        return (
            "Conversations go to /apply-template and /completion, because api='native' was given "
            "or the server has no /v1/models. Give api='openai' if it has /v1/chat/completions; "
            "otherwise only finished prompts can be sent (generate(), RocmLLM)."
        )
    if isinstance(request, Chat):
        return (
            "Give api='native' if the server has llama-server's own /completion and "
            "/apply-template."
        )
    if completion == "native":
        return "Give api='openai' if the server has /v1/completions."
    return "Give api='native' if the server has llama-server's own /completion."


class RemoteBackend:
    """Uses a llama-server, or another server of the OpenAI dialect, that somebody else runs."""

    name = "remote"

    def available(self) -> bool:
        """Return ``True``: it needs nothing of this machine."""
        return True

    def probe(self) -> Availability:
        """Return that it can run: it needs nothing of this machine."""
        return Availability(True)

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """Return a connection to the server at ``ref``; nothing is sent yet.

        Warns of load options that have no effect on a server that already runs.

        Raises:
            ConfigError: ``ref`` is not a URL, or a certificate cannot be read.
        """
        if ref.kind != "url":
            raise ConfigError(f"backend 'remote' needs an http(s):// URL, not {ref.value!r}")
        _warn_of_unused(config)
        return RemoteConnection(ref, config, remote or RemoteConfig())


def _warn_of_unused(config: LoadConfig) -> None:
    plain = LoadConfig()
    unused = [
        f.name
        for f in fields(config)
        if f.compare
        and f.name not in _USED_HERE
        and getattr(config, f.name) != getattr(plain, f.name)
    ]
    if unused:
        warnings.warn(f"{', '.join(unused)}: no effect on a server that already runs", stacklevel=4)


def _tls(remote: RemoteConfig) -> ssl.SSLContext | None:
    """Return how to trust the server; ``None`` for httpx's own way."""
    if remote.verify_tls and remote.ca_file is None and remote.client_cert is None:
        return None
    try:
        context = httpx.create_ssl_context(verify=remote.verify_tls)
        if remote.ca_file is not None and remote.verify_tls:
            context = ssl.create_default_context(cafile=str(remote.ca_file))
        if remote.client_cert is not None:
            context.load_cert_chain(str(remote.client_cert), _text(remote.client_key))
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"the certificates for TLS cannot be read ({error}): check ca_file, client_cert and "
            "client_key"
        ) from error
    return context


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
