"""Time limits reach every verb: a server that accepts and never answers keeps nobody.

``pytest -s tests/house/test_limits.py`` prints how long each verb took.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.exceptions import ModelTimeoutError

import langchain_rocm
import llama_index_rocm
from rocm_core import AsyncClient, Client, LlamaService, ModelInfo, TextModel, Timeouts, load_model
from rocm_core.config import options_of
from rocm_core.errors import RequestTimeout, RocmError, ServerStopped
from tests.support.servers.fake_server import FakeServer, answer, capture
from tests.support.servers.refusing import nobody_accepts
from tests.support.verbs import ROWS, SILENT, VERBS, Outcome, label, outcomes, public, show

LIMIT = 0.25
SLACK = 0.5
_NO_QUEUE = 100
_FIELDS = {found.name: attribute for attribute, found in options_of(Timeouts).items()}

# What a server that answers facts only answers.
_ONLY_FACTS = {
    "aget_server_defaults",
    "aload",
    "get_server_defaults",
    "info",
    "load",
    "models",
    "profile",
    "props",
    "start",
}
_NEVER_RAISES = {"is_running"}

Make = Callable[[str, dict[str, Any]], Any]


def _timeouts(options: dict[str, Any]) -> Timeouts:
    limits = {_FIELDS[name]: value for name, value in options.items() if name in _FIELDS}
    return Timeouts(**{"connect": None, "first_token": None, "idle": None, **limits})


def _service(url: str, options: dict[str, Any]) -> LlamaService:
    """A service whose ``start`` needs no more arguments; it has been started, if that works."""

    class Service(LlamaService):
        def start(self, *_: Any, **__: Any) -> ModelInfo:
            return super().start(model=url, max_in_flight=_NO_QUEUE, **options)

    service = Service()
    with contextlib.suppress(RocmError):
        service.start()
    return service


def _adapter(cls: Any) -> Make:
    return lambda url, options: cls(base_url=url, model="m", max_in_flight=_NO_QUEUE, **options)


MAKE: dict[type, Make] = {
    Client: lambda url, options: Client(url, timeouts=_timeouts(options)),
    AsyncClient: lambda url, options: AsyncClient(url, timeouts=_timeouts(options)),
    TextModel: lambda url, options: load_model(
        url, timeouts=_timeouts(options), max_in_flight=_NO_QUEUE
    ),
    LlamaService: _service,
    **{
        cls: _adapter(cls)
        for package in (langchain_rocm, llama_index_rocm)
        for cls in (getattr(package, name) for name in package.__all__)
        if cls is not llama_index_rocm.RocmTokenizer
    },
    llama_index_rocm.RocmTokenizer: lambda url, options: llama_index_rocm.RocmTokenizer(
        llama_index_rocm.RocmLLM(base_url=url, model="m", **options)
    ),
}


@contextlib.contextmanager
def _mute() -> Iterator[str]:
    with FakeServer() as server:
        server.mute()
        yield server.url


@contextlib.contextmanager
def _answers_facts_only() -> Iterator[str]:
    with FakeServer() as server:
        # Of a model that sees: nothing is refused before it is asked.
        facts = capture("props.b11434").replace(b'"vision":false', b'"vision":true')
        server.script("/props", answer(facts))
        server.mute("/props", "/v1/models")
        yield server.url


SERVERS = {
    "never answers": (_mute, {"timeout": LIMIT}),
    "answers facts only": (_answers_facts_only, {"first_token_timeout": LIMIT}),
    "never accepts": (nobody_accepts, {"connect_timeout": LIMIT}),
}


def on(url: str, options: dict[str, Any]) -> dict[str, Outcome]:
    """Perform every verb on a server, each on a subject of its own."""
    return outcomes(lambda cls: MAKE[cls](url, options), ROWS)


@pytest.fixture(scope="module")
def _imported() -> None:
    """What a framework imports at the first call of a verb is no part of the call's time."""
    on("http://127.0.0.1:1", {"timeout": 0.0})


@pytest.fixture(scope="module", params=SERVERS)
def ended(request: pytest.FixtureRequest, _imported: None) -> dict[str, Outcome]:
    serving, options = SERVERS[request.param]
    with serving() as url:
        found = on(url, options)
    [(option, limit)] = options.items()
    show(f"a server that {request.param}, {option}={limit}", found)
    return found


@pytest.mark.parametrize("cls", VERBS, ids=lambda cls: label(cls, "").rstrip("."))
def test_every_public_verb_has_a_row(cls: type) -> None:
    rows, silent = set(VERBS[cls]) - {"__call__", "profile"}, SILENT[cls]
    assert not rows & silent
    assert rows | silent == public(cls)


def test_every_class_has_rows() -> None:
    adapters = {
        getattr(package, name)
        for package in (langchain_rocm, llama_index_rocm)
        for name in package.__all__
    }
    assert {Client, AsyncClient, TextModel, LlamaService, *adapters} == set(VERBS) == set(MAKE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: label(*row))
def test_it_ends_in_time_and_says_why(row: tuple[type, str], ended: dict[str, Outcome]) -> None:
    cls, name = row
    seconds, error, result = ended[label(*row)]
    assert seconds < LIMIT + SLACK
    if name == "preflight":
        assert [check.status for check in result].count("failed") == 1
        return
    if error is None and name in _ONLY_FACTS | _NEVER_RAISES:
        return
    if cls is LlamaService and name != "start" and isinstance(error, ServerStopped):
        return  # what does not run is asked nothing
    assert isinstance(error, RequestTimeout)
    assert f"{LIMIT} s (" in str(error)
    if cls.__module__.startswith("langchain_rocm"):
        assert isinstance(error, ModelTimeoutError)
