"""What is left when a server, its daemon or a program dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from rocm_core import LoadConfig, State, resolve_ref
from rocm_core.config import Engine
from rocm_core.errors import ServerDied, ServerStartError
from rocm_core.shared.admin import list_servers, stop_server
from rocm_core.shared.daemon import SharedServerDaemon
from rocm_core.shared.registry import Registry
from tests.support.engines import LONG
from tests.support.leftovers import assert_gone
from tests.support.models.reciter import RECITER
from tests.support.programs import Program, in_time, runs, wait_for
from tests.support.sharing import say_hello, shared


def test_a_crash_is_told_to_all_and_they_share_the_successor(engine: Engine) -> None:
    servers = [shared(engine) for _ in range(3)]
    for server in servers:
        server.start()
    stream = servers[0].client.completion("x", LONG)
    next(stream)
    first = servers[0].pid
    assert first
    os.kill(first, signal.SIGKILL)
    with pytest.raises(ServerDied, match="SIGKILL") as caught:
        list(stream)
    assert caught.value.returncode == -signal.SIGKILL
    assert caught.value.log_tail
    wait_for(lambda: all(server.state is State.FAILED for server in servers))
    assert {say_hello(server) for server in servers} == {"Hello! I am"}
    assert len({server.pid for server in servers} - {first}) == 1
    for server in servers:
        server.stop()


def test_a_killed_daemon_takes_its_server_along_and_is_replaced(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine)
    server.start()
    pid, daemon = server.pid, list_servers(registry)[0].facts["daemon_pid"]
    os.kill(daemon, signal.SIGKILL)
    wait_for(lambda: server.state is State.FAILED)
    assert isinstance(server.failure, ServerDied)
    wait_for(lambda: not runs(pid), in_time(2))
    assert say_hello(server) == "Hello! I am"
    server.stop()


@pytest.mark.parametrize(
    ("keep_alive", "kept"), [(0.5, 0.5), (5.0, 5.0), (600.0, 60.0), (-1.0, 60.0)]
)
def test_a_crashed_server_without_clients_is_forgotten_when_its_keep_alive_ends(
    registry: Registry, keep_alive: float, kept: float
) -> None:
    config = LoadConfig(keep_alive=keep_alive)
    daemon = SharedServerDaemon(registry, "0" * 16, resolve_ref(RECITER), config)
    daemon._had_client = daemon._registered = True
    assert daemon._stop_due() == daemon._last_used + kept


def test_the_daemon_of_a_crashed_server_ends_with_its_keep_alive(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine, keep_alive=0.5)
    server.start()
    daemon = list_servers(registry)[0].facts["daemon_pid"]
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    assert_gone([daemon])
    assert list(registry.directory.iterdir()) == []


def test_a_failed_start_arrives_as_the_error_it_was(engine: Engine, registry: Registry) -> None:
    server = shared(engine, extra_args=["--frobnicate"])
    with pytest.raises(ServerStartError, match="does not know the argument") as caught:
        server.start()
    assert caught.value.returncode == 1
    assert caught.value.command
    wait_for(lambda: list(registry.directory.iterdir()) == [])


@pytest.mark.parametrize("moment", ["while it starts", "when it is ready", "while it releases"])
def test_a_program_killed_at_any_moment_leaves_a_server_that_ends(
    engine: Engine, start: Callable[..., Program], registry: Registry, moment: str
) -> None:
    body = """
import sys, threading, time
from rocm_core import LoadConfig, Server, resolve_ref
server = Server(resolve_ref(sys.argv[3]), LoadConfig(engine=sys.argv[1], keep_alive=1))
thread = threading.Thread(target=server.start, daemon=True)
thread.start()
if sys.argv[2] != "while it starts":
    thread.join()
if sys.argv[2] == "while it releases":
    threading.Thread(target=server.stop, daemon=True).start()
print("now", flush=True)
time.sleep(600)
"""
    program = start(body, engine, moment, RECITER)
    assert program.line() == "now"
    if moment == "while it starts":
        wait_for(lambda: list(registry.directory.glob("*.sock")))
    program.kill()
    # Killed before there was a daemon, it leaves a socket, which the next one who looks removes.
    wait_for(lambda: list_servers(registry) == [] and list(registry.directory.iterdir()) == [])


def test_a_suspended_daemon_is_killed_by_stop_and_its_server_ends(
    engine: Engine, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rocm_core.shared import admin

    monkeypatch.setattr(admin, "_REPLY_TIMEOUT", 0.3)
    monkeypatch.setattr(admin, "_EXIT_TIMEOUT", 1.0)
    server = shared(engine)
    server.start()
    pid, daemon = server.pid, list_servers(registry)[0].facts["daemon_pid"]
    os.kill(daemon, signal.SIGSTOP)
    listed = list_servers(registry)[0]
    assert listed.facts["state"] == "unresponsive"
    assert listed.facts["pid"] == pid
    stop_server(listed, registry)
    wait_for(lambda: not runs(pid), in_time(2))
    assert not runs(daemon)
    server.stop()


def test_stop_never_signals_a_process_that_only_has_the_pid(
    engine: Engine, registry: Registry
) -> None:
    from dataclasses import replace

    from rocm_core.shared import admin

    server = shared(engine)
    server.start()
    listed = list_servers(registry)[0]
    assert listed.entry
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with bystander:
        recycled = replace(listed.entry.daemon, pid=bystander.pid)
        os.kill(listed.entry.daemon.pid, signal.SIGSTOP)
        with pytest.MonkeyPatch.context() as patch:  # the clean-up after the test has more time
            patch.setattr(admin, "_REPLY_TIMEOUT", 0.3)
            patch.setattr(admin, "_EXIT_TIMEOUT", 0.5)
            stop_server(replace(listed, entry=replace(listed.entry, daemon=recycled)), registry)
        assert bystander.poll() is None
    assert runs(server.pid)
    os.kill(listed.entry.daemon.pid, signal.SIGCONT)
    server.stop()
