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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rocm_core.backend import Connection, choose_backend, get_backend, probe_backend
from rocm_core.client import Call, Deadline, calls
from rocm_core.config import Api, LoadConfig, RemoteConfig, Timeouts
from rocm_core.config.values import with_scheme
from rocm_core.discover.refs import ModelRef
from rocm_core.doctor.dry_run import HI, Smallest, send_one
from rocm_core.engine.installed.choice import explain_choice
from rocm_core.errors import (
    AuthenticationError,
    HTTPStatusError,
    ProtocolError,
    RequestTimeout,
    RocmError,
    ServerLoading,
    ServerUnreachable,
)
from rocm_core.gguf import read_gguf
from rocm_core.gguf.notes import text_notes
from rocm_core.types import Check, ServerProps

__all__ = ["preflight_connection", "preflight_url"]

T = TypeVar("T")

# Seconds for one request, after the connection.
_CHECK = 15.0
# Loading a model on demand, or waiting for a slot, comes before its one token.
_DRY_RUN = 300.0
_ABSENT = (404, 405, 501)


def preflight_url(
    url: str,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    model: str | None = None,
    dry_run: bool = False,
    *,
    api: Api = "auto",
) -> list[Check]:
    """Check whether a running server can be used.

    Sends up to five requests of at most 15 s each; with ``dry_run`` one more, of at most 300 s.

    Args:
        url: ``http(s)://host:port[/prefix]``; ``http://`` may be left out.
        api_key: the server's key.
        headers: further headers of every request.
        model: the model wanted there: id, alias or file name.
        dry_run: whether to also generate one token, which makes a router load the model.
        api: which endpoints will be used: ``auto``, ``openai`` or ``native``.

    Raises:
        ConfigError: the URL or a header is malformed.
    """
    connection = get_backend("remote").load_model(
        ModelRef("url", with_scheme(url), "the server"),
        LoadConfig(model_name=model),
        RemoteConfig(api_key=api_key, headers=headers or {}, api=api),
    )
    try:
        return list(_server_checks(connection, dry_run, Deadline(connection.default_timeouts)))
    finally:
        connection.release()


def preflight_connection(
    connection: Connection, dry_run: bool = False, deadline: Deadline | None = None
) -> list[Check]:
    """Check whether a model can be used, wherever it runs, in the way its requests will go.

    Starts a server on this machine only for a dry run; without one, a server that does not run
    is not asked.

    Args:
        connection: the model's.
        dry_run: whether to also start the server and generate one token (or compute one vector or
            score, if that is what the model was loaded for).
        deadline: of all checks together. Its limits hold for each request, which takes 15 s at
            most (the dry run 300 s). ``None``: one of the connection's own limits.
    """
    deadline = deadline or Deadline(connection.default_timeouts)
    if connection.ref.kind == "url":
        return list(_server_checks(connection, dry_run, deadline))
    checks = list(_local_checks(connection.ref, connection.config))
    if any(check.status == "failed" for check in checks):
        return checks
    if dry_run:
        checks.append(_start(connection, deadline))
    if connection.props is None or checks[-1].status == "failed":
        return [*checks, Check("dry_run", "skipped", "the server is not running")]
    return [*checks, *_server_checks(connection, dry_run, deadline)]


# ---------------------------------------------------------------------------
# This machine
# ---------------------------------------------------------------------------


def _local_checks(ref: ModelRef, config: LoadConfig) -> Iterator[Check]:
    yield _tried("backend", lambda: _backend(ref, config), "Install an engine, or use base_url=.")
    yield _tried("engine", lambda: _engine(config), "Install one, or give server_path=.")
    if ref.kind == "file":
        yield _of_file(ref)
    else:
        yield Check("model_file", "skipped", f"llama-server downloads {ref.value} when it starts")


def _backend(ref: ModelRef, config: LoadConfig) -> str:
    backend = choose_backend(ref, config)
    found = probe_backend(backend, config)
    if not found.ok:
        raise RocmError("; ".join(found.reasons))
    return "; ".join((backend.name, *found.reasons))


def _engine(config: LoadConfig) -> str:
    choice = explain_choice(config)
    return f"{choice.engine.kind} from {choice.engine.source}: {choice.reason}"


def _of_file(ref: ModelRef) -> Check:
    try:
        info = read_gguf(ref.value)
    except RocmError as error:
        return Check("model_file", "failed", str(error), "Download the file again.")
    kind = f", a decision model ({info.decision_type})" if info.decision_type else ""
    if notes := text_notes(info):
        return Check("model_file", "warning", ref.value + kind, " ".join(notes))
    return Check("model_file", "ok", ref.value + kind)


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
    """Whom to ask, and what earlier checks learned, for later ones."""

    connection: Connection
    deadline: Deadline
    model: str | None
    models: list[dict[str, Any]] | None = None
    props: ServerProps | None = None
    router: bool = False
    conversations: bool = True
    decides: bool = False
    findings: list[Check] = field(default_factory=list)

    def ask(self, call: Call[T]) -> T:
        return self.connection.client.call(call, self.within(_CHECK))

    def within(self, seconds: float) -> Deadline:
        """Return the deadline of one check: ``seconds`` after the connection, or an earlier one."""
        most = seconds + (self.deadline.limits.connect or 0.0)
        limits = Timeouts(connect=None, first_token=seconds, idle=None, total=most)
        return self.deadline.within(limits)

    @property
    def native(self) -> bool:
        """Whether conversations go to llama-server's own endpoints."""
        api = self.connection.api
        return api == "native" or (api == "auto" and self.models is None)


def _server_checks(connection: Connection, dry_run: bool, deadline: Deadline) -> Iterator[Check]:
    name = connection.config.model_name if connection.ref.kind == "url" else None
    facts = _Facts(connection, deadline, name)
    checks: tuple[tuple[str, Callable[[_Facts], Check]], ...] = (
        ("reachable", _reachable),
        ("authenticated", _authenticated),
        ("loaded", _loaded),
        ("model", _model),
        ("context", _context),
        ("chat_template", _chat_template),
    )
    for name, check in checks:
        yield _guarded(name, facts, check)
    if dry_run:
        yield _guarded("dry_run", facts, _dry_run)
    else:
        yield Check("dry_run", "skipped", "not asked for")


def _guarded(name: str, facts: _Facts, check: Callable[[_Facts], Check]) -> Check:
    failed = [found.name for found in facts.findings if found.status == "failed"]
    if failed:
        return Check(name, "skipped", f"after the failure of {failed[0]}")
    try:
        found = check(facts)
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
    if isinstance(error, HTTPStatusError) and error.status in _ABSENT:
        return "Choose other endpoints: api='openai' or api='native'."
    return "Look at the server's log."


@contextmanager
def _absent() -> Iterator[None]:
    """Ignore that the server lacks an endpoint (404, 405, 501)."""
    try:
        yield
    except HTTPStatusError as error:
        if error.status not in _ABSENT:
            raise


def _reachable(facts: _Facts) -> Check:
    # Any HTTP response shows that the address is reachable: other servers have no /health.
    with suppress(HTTPStatusError, ProtocolError):
        facts.ask(calls.health())
    return Check("reachable", "ok", facts.connection.client.address)


def _authenticated(facts: _Facts) -> Check:
    api = facts.connection.api
    path = "/props" if api == "native" else "/v1/models"
    try:
        with _absent():
            if api == "native":
                facts.props = facts.ask(calls.props())
            else:
                facts.models = facts.ask(calls.models())
    except ServerLoading:
        return Check("authenticated", "skipped", "cannot be told before the model is loaded")
    if facts.props is not None or facts.models is not None:
        return Check("authenticated", "ok", f"GET {path} answers")
    if api != "auto":
        return Check("authenticated", "skipped", f"no {path} to ask: the first request will tell")
    return Check(
        "authenticated",
        "warning",
        "no /v1/models: only the native endpoints can be used",
        "Give api='openai' if the server has /v1/chat/completions nevertheless.",
    )


def _loaded(facts: _Facts) -> Check:
    try:
        with _absent():
            facts.props = facts.ask(calls.props())
    except ServerLoading as error:
        return Check("loaded", "failed", str(error), "Wait, then try again.")
    if facts.props is None:
        return Check("loaded", "ok", "no llama-server: it has no /props")
    facts.router = facts.props.raw.get("role") == "router"
    if facts.router and facts.models is None:
        with _absent():
            facts.models = facts.ask(calls.models())
    kind = "router" if facts.router else "llama-server"
    return Check("loaded", "ok", f"{kind} {facts.props.build_info}".strip())


def _model(facts: _Facts) -> Check:
    listed = facts.models
    if listed is None and facts.props is not None and facts.props.model_alias:
        listed = [{"id": facts.props.model_alias}]
    if listed is None:
        return Check("model", "skipped", "the server lists no models")
    there = ", ".join(calls.model_ids(listed)) or "nothing"
    found = calls.find_model(listed, facts.model) if facts.model else None
    if found:
        facts.model = found
        return Check("model", "ok", found)
    several = facts.router or facts.props is None
    if facts.model is None and (not several or len(calls.model_ids(listed)) == 1):
        facts.model = next(iter(calls.model_ids(listed)), None)
        return Check("model", "ok", there)
    what = f"no {facts.model!r}" if facts.model else "none was named"
    remedy = "Name one of those as model=."
    if several:
        return Check("model", "failed", f"{what}; there are: {there}", remedy)
    return Check("model", "warning", f"{what}, but {there}, which answers to any name", remedy)


def _context(facts: _Facts) -> Check:
    if facts.router and facts.props is not None:
        # GET /props of a model would make the router load it, which only a dry run may do.
        status = next(
            (m.get("status") for m in facts.models or () if m.get("id") == facts.model), None
        )
        if not isinstance(status, dict) or status.get("value") != "loaded":
            facts.props = None
            return Check("context", "skipped", "the router loads that model at its first request")
        facts.props = facts.ask(calls.props(facts.model))
    if facts.props is None or not facts.props.n_ctx:
        return Check("context", "skipped", "the server does not tell")
    props = facts.props
    return Check("context", "ok", f"{props.n_ctx} tokens in each of {props.total_slots} slots")


def _chat_template(facts: _Facts) -> Check:
    props = facts.props
    listed = facts.models or ()
    facts.decides = calls.decides_only(listed, facts.model if facts.router else None)
    if facts.decides:
        return Check(
            "chat_template", "skipped", "the model answers typed questions (decisions), no chats"
        )
    # A router would load its model for that; it has the endpoint.
    if facts.native and not facts.router:
        try:
            facts.ask(calls.apply_template(HI))
        except HTTPStatusError as error:
            if error.status not in _ABSENT:
                raise
            facts.conversations = False
            return Check(
                "chat_template",
                "warning",
                "no /apply-template: no prompt can be made of a conversation",
                "Give api='openai' if the server has /v1/chat/completions. Otherwise send finished "
                "prompts only (generate(), RocmLLM), or use a newer llama-server.",
            )
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


def _dry_run(facts: _Facts) -> Check:
    connection, deadline = facts.connection, facts.within(_DRY_RUN)
    kind: Smallest = "chat" if facts.conversations else "completion"
    what = send_one(connection, deadline, "decision" if facts.decides else kind)
    return Check("dry_run", "ok", what)
