"""What a server that already runs is asked before its first request. Sans I/O.

    GET /props             wait while it loads (503); no llama-server has none (404)
      → GET /v1/models     which endpoints it has; asked once per base URL and remembered
        → a router         the model's name must be in its list
          → GET /props?model=…   loads that model and tells its facts

``probe_server`` is a procedure for ``run_steps``, which the blocking and the asyncio connection
share.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, TypeVar

from rocm_core.backend.base import Dialect
from rocm_core.client import Call, Steps, calls
from rocm_core.config import Api
from rocm_core.errors import HTTPStatusError, ModelNotFound, ServerLoading
from rocm_core.types import ServerProps

T = TypeVar("T")

# Servers that speak the OpenAI dialect but are no llama-server have no /props.
NO_PROPS = ServerProps(0, 0, "", "", "", {}, {}, "", {})
_POLL = 0.25
# How servers, and the proxies in front of them, say that there is no such endpoint.
_ABSENT = (404, 405, 501)

_known: dict[str, Dialect] = {}


def forget_dialects(url: str | None = None) -> None:
    """Ask a server (or every one) anew which endpoints it has."""
    if url is None:
        _known.clear()
    else:
        _known.pop(url, None)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe found out about a server.

    Attributes:
        chat: the endpoints for conversations.
        completion: the endpoints for raw prompts; llama-server's own carries token ids, so it
            is used wherever there is one.
        model: what requests must name, if anything.
        routed: it is a router, and ``model`` one of its models.
    """

    props: ServerProps
    chat: Dialect
    completion: Dialect
    model: str | None
    routed: bool


@dataclass(frozen=True, slots=True)
class ServerProbe:
    """Parameters of a probe: URL, wanted model, wanted API dialect, timeout in seconds."""

    url: str
    model: str | None
    api: Api
    timeout: float


def probe_server(probe: ServerProbe) -> Steps[ProbeResult]:
    """Ask; every yielded call is answered by its result, or by its error thrown in.

    Raises:
        ServerLoading: it is still loading after ``timeout`` seconds.
        ModelNotFound: it has several models and not the one asked for.
        ServerUnreachable, AuthenticationError: at once.
    """
    props = yield from _when_loaded(probe, calls.props())
    dialect, models = yield from _dialect(probe)
    model, routed = probe.model, props is not None and props.raw.get("role") == "router"
    if routed or (props is None and dialect == "openai"):
        if models is None:
            models = yield from _optional(calls.models())
        model = _chosen(probe, models or [], routed)
    if routed and model is not None:
        props = yield from _when_loaded(probe, calls.props(model))
    native = probe.api == "native" or (probe.api == "auto" and props is not None)
    completion: Dialect = "native" if native or dialect == "native" else "openai"
    return ProbeResult(props or NO_PROPS, dialect, completion, model, routed)


def _when_loaded(probe: ServerProbe, call: Call[ServerProps]) -> Steps[ServerProps | None]:
    end = time.monotonic() + probe.timeout
    while True:
        last = time.monotonic() >= end
        try:
            return (yield from _optional(call))
        except ServerLoading:
            if last:
                raise
        yield _POLL


def _optional(call: Call[T]) -> Steps[T | None]:
    """The answer, or ``None`` where there is no such endpoint."""
    try:
        answer: T = yield call
    except HTTPStatusError as error:
        if error.status not in _ABSENT:
            raise
        return None
    return answer


def _dialect(
    probe: ServerProbe,
) -> Steps[tuple[Dialect, list[dict[str, Any]] | None]]:
    if probe.api != "auto":
        return probe.api, None
    if known := _known.get(probe.url):
        return known, None
    models = yield from _optional(calls.models())
    dialect: Dialect = "native" if models is None else "openai"
    _known[probe.url] = dialect
    return dialect, models


def _chosen(probe: ServerProbe, models: calls.ModelList, routed: bool) -> str | None:
    there = calls.model_ids(models)
    if probe.model is None and len(there) == 1:
        return there[0]
    found = calls.find_model(models, probe.model) if probe.model else None
    if found is None and routed:
        what = f"no model {probe.model!r}" if probe.model else "several models: name one of them"
        raise ModelNotFound(
            f"{probe.url} has {what}. There are: {', '.join(there) or 'none'}. "
            "Say which as model= beside base_url= (load_model: model_name=)."
        )
    return found or probe.model
