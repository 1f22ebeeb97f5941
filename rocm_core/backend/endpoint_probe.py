"""Find out what a server that already runs can do, before its first request. Sans-IO.

    GET /props             waits while the model loads (503); only llama-server has it (else 404)
      → GET /v1/models     tells the dialect; remembered per base URL
        → a router         the model's name must be in its list
          → GET /props?model=…   loads that model and returns its facts

``probe_server`` is a procedure for ``run_steps``: the blocking and the asyncio connection share it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, TypeVar

from rocm_core.backend.base import Dialect
from rocm_core.client import Call, Deadline, Steps, calls
from rocm_core.config import Api
from rocm_core.errors import HTTPStatusError, ModelNotFound, ServerLoading
from rocm_core.types import ServerProps

T = TypeVar("T")

# Servers that speak the OpenAI dialect but are no llama-server have no /props.
NO_PROPS = ServerProps(0, 0, "", "", "", {}, {}, "", {})
_POLL = 0.25
# The status codes by which servers, and proxies in front of them, say: no such endpoint.
ABSENT = (404, 405, 501)

_known: dict[str, Dialect] = {}
# The address of the server, the model's name there and its file.
_decide_only: set[tuple[str, str | None, str]] = set()


def forget_dialects(url: str | None = None) -> None:
    """Forget which endpoints a server has, or every server: the next probe asks again.

    Args:
        url: the server's base URL; ``None`` for all.
    """
    if url is None:
        _known.clear()
        _decide_only.clear()
    else:
        _known.pop(url, None)


@dataclass(slots=True, eq=False)
class ProbeResult:
    """What a probe found out about a server.

    Attributes:
        props: the server's facts; ``NO_PROPS`` for a server without ``GET /props``.
        chat: which endpoint takes conversations.
        completion: which endpoint takes raw prompts. The stream of llama-server's own carries
            token ids, so it is used wherever there is one.
        model: the value for the field ``model`` of requests; ``None`` for none.
        routed: the server is a router, and ``model`` one of its models.
        decides_only: the model answers typed questions and nothing else, as far as is known.
    """

    props: ServerProps
    chat: Dialect
    completion: Dialect
    model: str | None
    routed: bool
    decides_only: bool = False


@dataclass(slots=True, eq=False)
class ServerProbe:
    """Parameters of a probe.

    Attributes:
        url: the server's base URL, for the memory of dialects and for messages.
        model: the wanted model; ``None``: the only one.
        api: the wanted dialect, or ``"auto"``.
        timeout: seconds to wait while the server loads its model.
    """

    url: str
    model: str | None
    api: Api
    timeout: float


def probe_server(probe: ServerProbe, deadline: Deadline) -> Steps[ProbeResult]:
    """Probe a server; a procedure for ``run_steps``.

    Args:
        probe: what is wanted there.
        deadline: of the call that needs the server.

    Raises:
        ServerLoading: it is still loading its model after ``timeout`` seconds.
        RequestTimeout: the deadline passed before that.
        ModelNotFound: it has several models, and not the wanted one.
        ServerUnreachable, AuthenticationError: at once.
    """
    props = yield from _when_loaded(probe, deadline, calls.props())
    dialect, models = yield from _dialect(probe)
    model, routed = probe.model, props is not None and props.raw.get("role") == "router"
    if routed or (props is None and dialect == "openai"):
        if models is None:
            models = yield from _optional(calls.models())
        model = _choose_model(probe, models or [], routed)
    if routed and model is not None:
        props = yield from _when_loaded(probe, deadline, calls.props(model))
    native = probe.api == "native" or (probe.api == "auto" and props is not None)
    completion: Dialect = "native" if native or dialect == "native" else "openai"
    found = ProbeResult(props or NO_PROPS, dialect, completion, model, routed)
    found.decides_only = _decides_only(probe.url, found, models)
    return found


def _decides_only(url: str, found: ProbeResult, models: list[dict[str, Any]] | None) -> bool:
    """Return what the list of models says; where the dialect was known, what it said before."""
    key = (url, found.model, found.props.model_path)
    if models is not None:
        _decide_only.discard(key)
        if calls.decides_only(models, found.model if found.routed else None):
            _decide_only.add(key)
    return key in _decide_only


def _when_loaded(
    probe: ServerProbe, deadline: Deadline, call: Call[ServerProps]
) -> Steps[ServerProps | None]:
    end = time.monotonic() + probe.timeout
    while True:
        last = time.monotonic() >= end
        try:
            return (yield from _optional(call))
        except ServerLoading:
            if last:
                raise
        yield deadline.left(_POLL) or 0.0
        deadline.check(f"waiting for {probe.url} to load its model")


def _optional(call: Call[T]) -> Steps[T | None]:
    """Return the answer, or ``None`` where there is no such endpoint."""
    try:
        answer: T = yield call
    except HTTPStatusError as error:
        # LM Studio says "Unexpected endpoint or method" with status 200.
        said_so = error.status == 0 and "unexpected endpoint" in error.message.lower()
        if error.status not in ABSENT and not said_so:
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


def _choose_model(probe: ServerProbe, models: calls.ModelList, routed: bool) -> str | None:
    listed = calls.model_ids(models)
    if probe.model is None and len(listed) == 1:
        return listed[0]
    found = calls.find_model(models, probe.model) if probe.model else None
    if found is None and routed:
        what = f"no model {probe.model!r}" if probe.model else "several models: name one of them"
        raise ModelNotFound(
            f"{probe.url} has {what}. There are: {', '.join(listed) or 'none'}. "
            "Say which as model= beside base_url= (load_model: model_name=)."
        )
    return found or probe.model
