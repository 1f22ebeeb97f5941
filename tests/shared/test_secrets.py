"""Nobody else learns a shared server's key, or reaches its daemon."""

from __future__ import annotations

import os
import pickle
import signal
import socket

import psutil
import pytest

from rocm_core.config import Engine
from rocm_core.errors import ServerDied
from rocm_core.shared.admin import list_servers
from rocm_core.shared.registry import Registry
from tests.support.engines import LONG
from tests.support.sharing import say_hello, shared


def test_the_key_is_in_its_registry_entry_and_nowhere_else(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine)
    server.start()
    key, pid = server.api_key, server.pid
    assert key and pid
    listed = list_servers(registry)[0]
    assert listed.entry
    seen = [repr(server), repr(listed), str(listed.facts), repr(listed.entry)]
    for process in (psutil.Process(pid), psutil.Process(listed.facts["daemon_pid"])):
        seen += process.cmdline()
    stream = server.client.completion("x", LONG)
    next(stream)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ServerDied) as caught:
        list(stream)
    seen += [str(caught.value), repr(caught.value.__dict__), str(pickle.dumps(caught.value))]
    files = {path: path.read_bytes() for path in registry.directory.iterdir() if path.is_file()}
    assert [path.suffix for path, data in files.items() if key.encode() in data] == [".json"]
    assert not any(key in text for text in seen)
    server.stop()


def test_nobody_else_can_reach_the_daemons_socket(engine: Engine, registry: Registry) -> None:
    server = shared(engine)
    server.start()
    path = next(registry.directory.glob("*.sock"))
    assert path.stat().st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(path))  # ours, but no client of ours: nonsense is no harm
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(100) == b""
    assert say_hello(server) == "Hello! I am"
    server.stop()
