"""Preflight: check that a server or a model has everything that a first request needs.

    preflight_url(url)           reachable → authenticated → loaded → model → context
                                 → chat_template → dry_run
    preflight_connection(model)  the same for a URL; on this machine backend → engine → model_file,
                                 then the same if the server runs

A check that cannot succeed after an earlier failure is ``"skipped"``. Nothing raises for a server
that is not as it should be. No finding shows a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from rocm_core.backend import Connection, choose_backend, get_backend
from rocm_core.client import Client, Deadline, StreamCall, calls
from rocm_core.config import GenerateConfig, LoadConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.errors import (
    AuthenticationError,
    HTTPStatusError,
    ProtocolError,
    RequestTimeout,
    RocmError,
    ServerLoading,
    ServerUnreachable,
)
from rocm_core.gguf import check_gguf
from rocm_core.server import find_engine
from rocm_core.types import Check, ServerProps

__all__ = ["preflight_connection", "preflight_url"]

_TIMEOUT = Timeouts(connect=5.0, first_token=15.0, total=15.0)
# Loading a model on demand, or waiting for a slot, comes before its one token.
_DRY_RUN_TIMEOUTS = Timeouts(connect=5.0, first_token=300.0, total=300.0)
_ONE_TOKEN = GenerateConfig(max_tokens=1, temperature=0.0)
_ABSENT = (404, 405, 501)


def preflight_url(
    url: str,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    model: str | None = None,
    dry_run: bool = False,
) -> list[Check]:
    """Check whether a running server can be used.

    Sends up to four requests of at most 15 s each; with ``dry_run`` one more, of at most 300 s.

    Args:
        url: ``http(s)://host:port[/prefix]``.
        api_key: the server's key.
        headers: further headers of every request.
        model: the model wanted there: id, alias or file name.
        dry_run: whether to also generate one token, which makes a router load the model.

    Raises:
        ConfigError: the URL or a header is malformed.
    """
    with Client(url, api_key=api_key, headers=headers, timeouts=_TIMEOUT) as client:
        return list(_server_checks(client, model, dry_run, Deadline(Timeouts())))


def preflight_connection(
    connection: Connection, dry_run: bool = False, deadline: Deadline | None = None
) -> list[Check]:
    """Check whether a model can be used, wherever it runs.

    Starts a server on this machine only for a dry run; without one, a server that does not run
    is not asked.

    Args:
        connection: the model's.
        dry_run: whether to also start the server and generate one token.
        deadline: of all checks together; ``None``: those of ``preflight_url`` only.
    """
    deadline = deadline or Deadline(Timeouts())
    if connection.ref.kind == "url":
        name = connection.config.model_name
        return list(_server_checks(connection.client, name, dry_run, deadline))
    checks = list(_local_checks(connection.ref, connection.config))
    if any(check.status == "failed" for check in checks):
        return checks
    if dry_run:
        checks.append(_start(connection, deadline))
    if connection.props is None or checks[-1].status == "failed":
        return [*checks, Check("dry_run", "skipped", "the server is not running")]
    return [*checks, *_server_checks(connection.client, None, dry_run, deadline)]


# ---------------------------------------------------------------------------
# This machine
# ---------------------------------------------------------------------------


def _local_checks(ref: ModelRef, config: LoadConfig) -> Iterator[Check]:
    yield _tried("backend", lambda: _backend(ref, config), "Install an engine, or use base_url=.")
    yield _tried("engine", lambda: _engine(config), "Install one, or give server_path=.")
    if ref.kind == "file":
        yield _tried("model_file", lambda: _file(ref), "Download the file again.")
    else:
        yield Check("model_file", "skipped", f"llama-server downloads {ref.value} when it starts")


def _backend(ref: ModelRef, config: LoadConfig) -> str:
    backend = choose_backend(config.backend, ref)
    found = get_backend(backend.name).probe()
    if not found.ok:
        raise RocmError("; ".join(found.reasons))
    return "; ".join((backend.name, *found.reasons))


def _engine(config: LoadConfig) -> str:
    engine = find_engine(config.engine, config.server_path)
    return f"{engine.kind} from {engine.source}"


def _file(ref: ModelRef) -> str:
    check_gguf(ref.value)
    return ref.value


def _start(connection: Connection, deadline: Deadline) -> Check:
    def start() -> str:
        return f"{connection.ready(None, deadline).n_ctx} tokens per slot"

    return _tried("start", start, "See the log.")


def _tried(name: str, act: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, "ok", act())
    except RocmError as error:
        return Check(name, "failed", str(error), remedy)


# ---------------------------------------------------------------------------
# A server
# ---------------------------------------------------------------------------


@dataclass
class _Facts:
    """What earlier checks learned, for later ones."""

    models: list[dict[str, Any]] | None = None
    props: ServerProps | None = None
    model: str | None = None
    router: bool = False
    findings: list[Check] = field(default_factory=list)


def _server_checks(
    client: Client, model: str | None, dry_run: bool, deadline: Deadline
) -> Iterator[Check]:
    # A copy, for the limits of the checks; it shares the connections of the client.
    client, facts = copy(client), _Facts(model=model)
    checks: tuple[tuple[str, Callable[[Client, _Facts], Check]], ...] = (
        ("reachable", _reachable),
        ("authenticated", _authenticated),
        ("loaded", _loaded),
        ("model", _model),
        ("context", _context),
        ("chat_template", _chat_template),
    )
    for name, check in checks:
        client.timeouts = deadline.within(_TIMEOUT)
        yield _guarded(name, facts, lambda check=check: check(client, facts))  # type: ignore[misc]
    client.timeouts = deadline.within(_DRY_RUN_TIMEOUTS)
    if dry_run:
        yield _guarded("dry_run", facts, lambda: _dry_run(client, facts))
    else:
        yield Check("dry_run", "skipped", "not asked for")


def _guarded(name: str, facts: _Facts, check: Callable[[], Check]) -> Check:
    failed = [found.name for found in facts.findings if found.status == "failed"]
    if failed:
        return Check(name, "skipped", f"after the failure of {failed[0]}")
    try:
        found = check()
    except RocmError as error:
        found = Check(name, "failed", str(error), _remedy(error))
    facts.findings.append(found)
    return found


def _remedy(error: RocmError) -> str:
    if isinstance(error, AuthenticationError):
        return "Pass the server's key: api_key=, --api-key-env or LLAMA_ROCM_API_KEY."
    if isinstance(error, RequestTimeout):
        return "The server hangs or the network drops packets: look at its log, and at firewalls."
    if isinstance(error, ServerUnreachable):
        return "Start the server, or correct host and port."
    if isinstance(error, ProtocolError):
        return "Something other than a llama-server answers there: correct the URL."
    return "Look at the server's log."


@contextmanager
def _absent() -> Iterator[None]:
    """Ignore that the server lacks an endpoint (404, 405, 501)."""
    try:
        yield
    except HTTPStatusError as error:
        if error.status not in _ABSENT:
            raise


def _reachable(client: Client, facts: _Facts) -> Check:
    # Any HTTP response shows that the address is reachable: other servers have no /health.
    with suppress(HTTPStatusError, ProtocolError):
        client.health()
    return Check("reachable", "ok", client.address)


def _authenticated(client: Client, facts: _Facts) -> Check:
    try:
        with _absent():
            facts.models = client.models()
    except ServerLoading:
        return Check("authenticated", "skipped", "cannot be told before the model is loaded")
    if facts.models is None:
        return Check(
            "authenticated",
            "warning",
            "no /v1/models: only the native endpoints can be used",
            "Give api='openai' if the server has /v1/chat/completions nevertheless.",
        )
    return Check("authenticated", "ok", "GET /v1/models answers")


def _loaded(client: Client, facts: _Facts) -> Check:
    try:
        with _absent():
            facts.props = client.props()
            facts.router = facts.props.raw.get("role") == "router"
    except ServerLoading as error:
        return Check("loaded", "failed", str(error), "Wait, then try again.")
    if facts.props is None:
        return Check("loaded", "ok", "no llama-server: it has no /props")
    kind = "router" if facts.router else "llama-server"
    return Check("loaded", "ok", f"{kind} {facts.props.build_info}".strip())


def _model(client: Client, facts: _Facts) -> Check:
    there = ", ".join(calls.model_ids(facts.models or ())) or "nothing"
    found = calls.find_model(facts.models or (), facts.model) if facts.model else None
    if found:
        facts.model = found
        return Check("model", "ok", found)
    if facts.models is None:
        return Check("model", "skipped", "the server lists no models")
    several = facts.router or facts.props is None
    if facts.model is None and (not several or len(calls.model_ids(facts.models)) == 1):
        facts.model = next(iter(calls.model_ids(facts.models)), None)
        return Check("model", "ok", there)
    what = f"no {facts.model!r}" if facts.model else "none was named"
    remedy = "Name one of those as model=."
    if several:
        return Check("model", "failed", f"{what}; there are: {there}", remedy)
    return Check("model", "warning", f"{what}, but {there}, which answers to any name", remedy)


def _context(client: Client, facts: _Facts) -> Check:
    if facts.router and facts.props is not None:
        client.model, client.routed = facts.model, True
        # GET /props of a model would make the router load it, which only a dry run may do.
        status = next(
            (m.get("status") for m in facts.models or () if m.get("id") == facts.model), None
        )
        if not isinstance(status, dict) or status.get("value") != "loaded":
            facts.props = None
            return Check("context", "skipped", "the router loads that model at its first request")
        facts.props = client.call(calls.props(facts.model))
    if facts.props is None or not facts.props.n_ctx:
        return Check("context", "skipped", "the server does not tell")
    props = facts.props
    return Check("context", "ok", f"{props.n_ctx} tokens in each of {props.total_slots} slots")


def _chat_template(client: Client, facts: _Facts) -> Check:
    props = facts.props
    if props is None:
        return Check("chat_template", "skipped", "the server does not tell")
    if not props.chat_template:
        return Check(
            "chat_template",
            "warning",
            "the model has none: chats are put together in a general way",
            "Give the server chat_template=, or use plain completions.",
        )
    able = [name for name, yes in sorted(props.chat_template_caps.items()) if yes]
    return Check("chat_template", "ok", ", ".join(able) or "no special abilities told")


def _dry_run(client: Client, facts: _Facts) -> Check:
    call: StreamCall = calls.chat([{"role": "user", "content": "Hi"}], _ONE_TOKEN, facts.model)
    if facts.models is None:
        call = calls.completion("Hi", _ONE_TOKEN)
    with closing(client.stream(call)) as events:
        last = list(events)[-1:]
    usage = last[0].usage if last else None
    told = f", {usage.prompt_tokens} prompt tokens" if usage else ""
    return Check("dry_run", "ok", f"one token from POST {call.path}{told}")
