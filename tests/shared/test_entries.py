"""What the registry says of a server, and what is done where it is wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from rocm_core.config import Engine
from rocm_core.errors import ServerStartError
from rocm_core.shared.admin import list_servers
from rocm_core.shared.registry import Registry
from tests.support.models.reciter import RECITER
from tests.support.programs import Program, runs, wait_for
from tests.support.sharing import say_hello, shared, shared_key


@pytest.mark.parametrize("damage", [b"", b'{"key": "', b"garbage", b"\x00\xff" * 99])
def test_a_damaged_entry_is_written_anew(engine: Engine, registry: Registry, damage: bytes) -> None:
    first, second = shared(engine), shared(engine)
    first.start()
    path = next(registry.directory.glob("*.json"))
    path.write_bytes(damage)
    second.start()
    assert second.pid == first.pid
    assert registry.read(path.stem) is not None
    first.stop()
    second.stop()


def test_a_server_that_refuses_the_entrys_key_is_not_trusted(
    engine: Engine, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = shared(engine), shared(engine)
    first.start()
    real = Registry.read

    def forged(self: Registry, key: str) -> Any:
        from dataclasses import replace

        entry = real(self, key)
        return entry and replace(entry, api_key="forged")

    monkeypatch.setattr(Registry, "read", forged)
    with pytest.raises(ServerStartError, match="cannot be trusted"):
        second.start()
    monkeypatch.undo()
    first.stop()


def test_a_registry_that_cannot_be_written_says_so_and_leaves_nothing(
    engine: Engine, registry: Registry
) -> None:
    """The entry's place is taken by a directory: for the daemon, as good as a full disk."""
    server = shared(engine)
    blocked = registry.path(shared_key(server), "json")
    blocked.mkdir()
    with pytest.raises(ServerStartError, match=r"cannot be written.*keep_alive=0"):
        server.start()
    wait_for(lambda: list(registry.directory.iterdir()) == [blocked])
    blocked.rmdir()
    assert say_hello(server) == "Hello! I am"
    server.stop()


def test_leftovers_do_not_keep_a_new_server_from_starting(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine)
    server.start()
    daemon, pid = list_servers(registry)[0].facts["daemon_pid"], server.pid
    os.kill(daemon, signal.SIGKILL)
    wait_for(lambda: not runs(daemon) and not runs(pid))
    assert len(list(registry.directory.glob("*.*"))) >= 4  # entry, socket, log, lock
    server.stop()
    another = shared(engine)
    assert say_hello(another) == "Hello! I am"
    another.stop()


def test_a_forked_copy_shares_the_server_and_holds_nothing_of_the_original(
    engine: Engine, start: Callable[..., Program]
) -> None:
    body = """
import os, sys
from rocm_core import load_model
model = load_model(sys.argv[2], engine=sys.argv[1], keep_alive=60)
model.load()
mine = model.connection.server.pid
stream = model.generate("x", max_tokens=6000, ignore_eos=True)
next(stream)
child = os.fork()
if child == 0:
    text = "".join(t.text for t in model.generate("x", max_tokens=3))
    print(model.connection.server.pid == mine, text, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(len([next(stream) for _ in range(10)]), flush=True)
"""
    program = start(body, engine, RECITER)
    assert program.line() == "True Hello! I am"
    assert program.line() == "10"
