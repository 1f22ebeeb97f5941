"""``RemoteConfig`` and ``Timeouts``: how to reach a server, and how long to wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from rocm_core.config.generate import GenerateConfig
from rocm_core.config.option import documented, option, read_options
from rocm_core.config.values import Choice, Duration, FilePath, Pairs, Switch, Text
from rocm_core.errors import ConfigError

Api = Literal["auto", "openai", "native"]


@documented
@dataclass(frozen=True)
class RemoteConfig:
    """How to reach a server that somebody else runs.

    Raises:
        ConfigError: a value is of the wrong kind, or a key file has no certificate.
    """

    api_key: str | None = option(
        None,
        Text(),
        "Key of that server, sent as a bearer token; never shown.",
        repr=False,
        secret=True,
        flag=None,
        example="change-me",
    )
    headers: Mapping[str, str] = option(
        dict,
        Pairs(),
        "Further headers of every request, for a proxy in front of it; never shown.",
        repr=False,
        secret=True,
        flag=None,
        example='{"X-Tenant": "7"}',
        adapter_default=None,
    )
    api: Api = option(
        "auto",
        Choice(*get_args(Api)),
        "Which endpoints to use: openai (/v1/chat/completions, /v1/completions), native "
        "(/completion, /apply-template), or auto: what GET /v1/models says, asked once per base "
        "URL (404: native).",
    )
    ca_file: str | Path | None = option(
        None,
        FilePath(),
        "PEM file of certificates to trust instead of the system's.",
        example="/etc/ssl/private-ca.pem",
    )
    client_cert: str | Path | None = option(
        None,
        FilePath(),
        "PEM file of the certificate that we show, with its key, or with the key in client_key.",
        example="/etc/ssl/me.pem",
    )
    client_key: str | Path | None = option(
        None,
        FilePath(),
        "PEM file of the key of client_cert.",
        example="/etc/ssl/me.key",
    )
    verify_tls: bool = option(
        True, Switch(), "Whether to check the server's certificate; False trusts any."
    )

    def __post_init__(self) -> None:
        read_options(self)
        if self.client_key is not None and self.client_cert is None:
            raise ConfigError("client_key needs client_cert")


def _limit(name: str, default: float | None, text: str, **facts: Any) -> Any:
    facts = {"nullable": True, "unit": "seconds", "name": name, **facts}
    return option(default, Duration(), text, **facts)


@documented
@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds: for a whole call, and for each phase of its requests.

    ``None`` waits forever. They hold for everything that asks a server: a load, an answer,
    vectors, tokens, metrics, checks.

    Raises:
        ConfigError: a value is no duration.
    """

    connect: float | None = _limit(
        "connect_timeout", 5.0, "Limit to reach the server, for each request of a call."
    )
    first_token: float | None = _limit(
        "first_token_timeout",
        600.0,
        "Limit of each request from being sent to the first byte of its answer: queueing for a "
        "slot and prefill (llama-server sends no headers before that); of an answer that is no "
        "stream (embed, rerank, tokenize, facts of the server, …) to its last byte. None: no "
        "limit. In the adapters None means 600 s for a remote server and no limit for one of our "
        "own: its death is noticed at once, and after stall_timeout that it hangs.",
        adapter_default=None,
    )
    idle: float | None = _limit(
        "idle_timeout",
        75.0,
        "Limit between two pieces of a stream; llama-server pings every 30 s (sse_ping_interval), "
        "so the default lets two pings go missing.",
    )
    total: float | None = _limit(
        "timeout",
        None,
        "Limit of a whole call, whatever it does: waiting for the model to load, probing the "
        "server, waiting in the queue, every request and retry, the answer to its end. A load that "
        "others wait for goes on. None: no limit but those of each request.",
        example="10m",
    )

    def __post_init__(self) -> None:
        read_options(self)

    def of(self, config: GenerateConfig) -> Timeouts:
        """Return these limits, with the one that a call brings."""
        return self if config.timeout is None else replace(self, total=config.timeout)
