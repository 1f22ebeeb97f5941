"""A registry for each test of servers that outlive their program, and programs to share them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from rocm_core.shared.admin import list_servers, stop_server
from rocm_core.shared.registry import Registry
from tests.support.programs import Program, programs


@pytest.fixture(autouse=True)
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


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    with programs() as start:
        yield start
