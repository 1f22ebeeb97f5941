"""Servers that outlive their program: shared, found again, stopped when idle, on both engines."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rocm_core import GenerateConfig, LoadConfig, Server, State, load_model, resolve_ref
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.errors import ServerDied, ServerStartError, ServerStopped
from rocm_core.server import find_engine
from rocm_core.server.control import Channel, error_to_line
from rocm_core.server.directory import find_servers, list_servers, stop_server
from rocm_core.server.registry import Registry, key_of, with_absolute_paths
from tests.programs import PATIENCE, Program, in_time, programs, runs, wait_for
from tests.reciter import RECITER

LONG = GenerateConfig(max_tokens=6000, ignore_eos=True)

# A notebook: loads, says the server's pid, streams on request, and waits for its end.
NOTEBOOK = """
import sys
from rocm_core import load_model
engine, keep_alive, path, tokens = (*sys.argv[1:], "6000")[:4]
model = load_model(path, engine=engine, keep_alive=keep_alive)
model.load()
hello = [{"role": "user", "content": "Hello"}]
stream = model.chat(hello, max_tokens=int(tokens), ignore_eos=True)
next(stream)
print(model.connection.server.pid, flush=True)
for line in sys.stdin:
    if line.strip() == "stream":
        for _ in range(20):
            if next(stream, None) is None:
                stream = model.generate("x", max_tokens=6000, ignore_eos=True)
        print("streaming", flush=True)
    if line.strip() == "rest":
        stream.close()
        print("resting", flush=True)
"""


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
            if server.facts["keeper_pid"]:
                os.kill(server.facts["keeper_pid"], signal.SIGCONT)
            stop_server(server, registry)
        assert list(registry.directory.iterdir()) == []


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    with programs() as start:
        yield start


def shared(engine: Engine, **options: Any) -> Server:
    return Server(resolve_ref(RECITER), LoadConfig(engine=engine, **{"keep_alive": 60} | options))


def fails_to_start(server: Server) -> None:
    with pytest.raises(ServerStartError, match="enough"):
        server.start()


def say_hello(server: Server) -> str:
    server.start()
    return "".join(e.text for e in server.client.completion("x", GenerateConfig(max_tokens=3)))


# -- outliving --------------------------------------------------------------------------------


def test_a_restarted_kernel_finds_its_server_and_it_ends_when_idle(
    engine: Engine, start: Callable[..., Program], registry: Registry
) -> None:
    notebook = start(NOTEBOOK, engine, "60s", RECITER)
    pid = int(notebook.line())
    notebook.kill()
    for keep_alive in ("60s", "1s"):
        kernel = start(NOTEBOOK, engine, keep_alive, RECITER)
        assert int(kernel.line()) == pid
        kernel.kill()
    wait_for(lambda: not runs(pid))
    wait_for(lambda: list_servers(registry) == [])
    assert list(registry.directory.iterdir()) == []


def test_a_notebook_that_is_merely_open_does_not_keep_a_server(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine, keep_alive=0.5)
    server.start()
    pid = server.pid
    wait_for(lambda: server.state is State.STOPPED)
    wait_for(lambda: not runs(pid))
    assert say_hello(server) == "Hello! I am"  # and a later request starts it again
    assert server.pid != pid
    server.stop()


def test_a_stream_under_way_keeps_the_server(engine: Engine, start: Callable[..., Program]) -> None:
    notebook = start(NOTEBOOK, engine, "1s", RECITER)
    pid = int(notebook.line())
    end = time.monotonic() + 3
    while time.monotonic() < end:
        notebook.say("stream")
        assert notebook.line() == "streaming"
        assert runs(pid)
    notebook.say("rest")
    assert notebook.line() == "resting"
    wait_for(lambda: not runs(pid))


def test_the_registry_of_a_stopped_server_is_empty_and_requests_are_told(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine)
    server.start()
    pid = server.pid
    stream = server.client.completion("x", LONG)
    next(stream)
    stop_server(list_servers(registry)[0], registry)
    assert not runs(pid)
    assert list(registry.directory.iterdir()) == []
    with pytest.raises(ServerStopped):
        list(stream)
    wait_for(lambda: server.state is State.STOPPED)
    server.stop()


def test_who_waits_for_a_load_answers_the_question_whether_it_is_idle(registry: Registry) -> None:
    """An answer owed is an answer never asked for again: the server would end while in use."""
    server = shared("embedded")
    key = key_of(server.ref, with_absolute_paths(server.config), find_engine("embedded"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(registry.path(key, "sock")))
        listener.listen(1)
        attached = threading.Thread(target=fails_to_start, args=(server,))
        attached.start()
        keeper = Channel(listener.accept()[0])
        assert keeper.receive(PATIENCE) == {"op": "attach", "keep_alive": 60}
        keeper.send(**{"is": "welcome"})
        keeper.send(ask="idle", limit=60.0)
        assert keeper.receive(PATIENCE) == {"idle": 0.0}
        error = error_to_line(ServerStartError("enough"))
        keeper.send(**{"is": "failed", "error": error})
        attached.join(PATIENCE)
        assert not attached.is_alive()
        keeper.close()
    registry.path(key, "sock").unlink()
    server.stop()


# -- sharing ----------------------------------------------------------------------------------


def test_ten_programs_at_once_make_one_server_and_any_one_survives_the_others(
    engine: Engine, start: Callable[..., Program], registry: Registry
) -> None:
    # Short streams: four slots serve ten programs, and nobody reads on.
    notebooks = [start(NOTEBOOK, engine, "10m", RECITER, "400") for _ in range(10)]
    pids = {notebook.line() for notebook in notebooks}
    assert len(pids) == 1
    assert len(list_servers(registry)) == 1
    random.Random(4).shuffle(notebooks)
    last = notebooks.pop()
    last.say("stream")
    for notebook in notebooks:
        notebook.kill()
    for _ in range(5):
        assert last.line() == "streaming"
        last.say("stream")
    assert last.line() == "streaming"
    assert runs(int(pids.pop()))


def test_unequal_options_get_a_server_each(engine: Engine, registry: Registry) -> None:
    servers = [shared(engine, context_len=n) for n in (512, 1024)]
    for server in servers:
        server.start()
    assert servers[0].pid != servers[1].pid
    assert [server.client.props().n_ctx for server in servers] == [512, 1024]
    assert len(list_servers(registry)) == 2
    for server in servers:
        server.stop()


def test_models_of_one_program_share_it_too(engine: Engine, registry: Registry) -> None:
    with load_model(RECITER, engine=engine, keep_alive=60) as first:
        first.load()
        with load_model(RECITER, engine=engine, keep_alive="30s") as second:
            second.load()
            pids = {m.connection.server.pid for m in (first, second)}  # type: ignore[attr-defined]
    assert len(pids) == 1
    facts = list_servers(registry)[0].facts
    assert facts["pid"] in pids
    assert facts["keep_alive"] == 30  # the last one's word


def test_on_a_tcp_port_it_is_shared_as_well(engine: Engine) -> None:
    first, second = shared(engine, port=0), shared(engine, port=0)
    first.start()
    second.start()
    assert first.url == second.url is not None
    assert first.pid == second.pid
    first.stop()
    second.stop()


# -- crashes ----------------------------------------------------------------------------------


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


def test_a_killed_keeper_takes_its_server_along_and_is_replaced(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine)
    server.start()
    pid, keeper = server.pid, list_servers(registry)[0].facts["keeper_pid"]
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: server.state is State.FAILED)
    assert isinstance(server.failure, ServerDied)
    wait_for(lambda: not runs(pid), in_time(2))
    assert say_hello(server) == "Hello! I am"
    server.stop()


def test_a_failed_start_arrives_as_the_error_it_was(engine: Engine, registry: Registry) -> None:
    server = shared(engine, extra_args=["--frobnicate"])
    with pytest.raises(ServerStartError, match="does not know the argument") as caught:
        server.start()
    assert caught.value.returncode == 1
    assert caught.value.command
    wait_for(lambda: list(registry.directory.iterdir()) == [])


@pytest.mark.parametrize("moment", ["while it starts", "when it is ready", "while it lets go"])
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
if sys.argv[2] == "while it lets go":
    threading.Thread(target=server.stop, daemon=True).start()
print("now", flush=True)
time.sleep(600)
"""
    program = start(body, engine, moment, RECITER)
    assert program.line() == "now"
    if moment == "while it starts":
        wait_for(lambda: list(registry.directory.glob("*.sock")))
    program.kill()
    # Killed before there was a keeper, it leaves a socket, which the next one who looks removes.
    wait_for(lambda: list_servers(registry) == [] and list(registry.directory.iterdir()) == [])


def test_a_suspended_keeper_is_killed_by_stop_and_its_server_ends(
    engine: Engine, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rocm_core.server import directory

    monkeypatch.setattr(directory, "_ANSWER", 0.3)
    monkeypatch.setattr(directory, "_END", 1.0)
    server = shared(engine)
    server.start()
    pid, keeper = server.pid, list_servers(registry)[0].facts["keeper_pid"]
    os.kill(keeper, signal.SIGSTOP)
    listed = list_servers(registry)[0]
    assert listed.facts["state"] == "unresponsive"
    assert listed.facts["pid"] == pid
    stop_server(listed, registry)
    wait_for(lambda: not runs(pid), in_time(2))
    assert not runs(keeper)
    server.stop()


def test_stop_never_signals_a_process_that_only_has_the_pid(
    engine: Engine, registry: Registry
) -> None:
    from dataclasses import replace

    from rocm_core.server import directory

    server = shared(engine)
    server.start()
    listed = list_servers(registry)[0]
    assert listed.entry
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with bystander:
        recycled = replace(listed.entry.keeper, pid=bystander.pid)
        os.kill(listed.entry.keeper.pid, signal.SIGSTOP)
        with pytest.MonkeyPatch.context() as patch:  # the clean-up after the test has more time
            patch.setattr(directory, "_ANSWER", 0.3)
            patch.setattr(directory, "_END", 0.5)
            stop_server(replace(listed, entry=replace(listed.entry, keeper=recycled)), registry)
        assert bystander.poll() is None
    assert runs(server.pid)
    os.kill(listed.entry.keeper.pid, signal.SIGCONT)
    server.stop()


# -- the registry -----------------------------------------------------------------------------


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
    """The entry's place is taken by a directory: for the keeper, as good as a full disk."""
    server = shared(engine)
    from rocm_core.server.attachment import Attachment
    from rocm_core.server.find import find_engine

    key = Attachment(server.ref, server.config, find_engine(engine), server._timeouts, server)._key
    blocked = registry.path(key, "json")
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
    keeper, pid = list_servers(registry)[0].facts["keeper_pid"], server.pid
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: not runs(keeper) and not runs(pid))
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


# -- commands ---------------------------------------------------------------------------------


def test_ps_tells_the_facts(
    engine: Engine, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shared(engine, context_len=512, parallel=2)
    server.start()
    stream = server.client.completion("x", GenerateConfig(max_tokens=400, ignore_eos=True))
    next(stream)
    assert main(["ps", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["model"] == "reciter"
    assert facts["pid"] == server.pid
    assert (facts["slots_total"], facts["n_ctx"], facts["vram"]) == (2, 512, None)
    assert facts["address"] == server.client.address
    assert (facts["state"], facts["attached"]) == ("ready", 1)
    assert facts["keep_alive_left"] <= 60
    assert Path(facts["log"]).read_text()
    stream.close()
    assert main(["ps"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["MODEL", "PID"]
    assert facts["log"] in row
    server.stop()


def test_top_shows_the_shared_servers(
    engine: Engine, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shared(engine)
    server.start()
    assert main(["top", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["servers"]
    assert told["slots"] >= 1
    assert told["rss"] > 0
    server.stop()


def test_idle_is_since_the_last_request_of_anybody(engine: Engine, registry: Registry) -> None:
    first, second = shared(engine), shared(engine)
    first.start()
    second.start()
    wait_for(lambda: list_servers(registry)[0].facts["idle"] > 0.5)
    asked = time.monotonic()
    say_hello(first)
    idle = list_servers(registry)[0].facts["idle"]
    assert idle <= time.monotonic() - asked
    first.stop()
    second.stop()


def test_stop_and_logs_by_name_and_pid(
    engine: Engine, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shared(engine)
    server.start()
    assert main(["logs", "reciter"]) == 0
    assert "listening on" in capsys.readouterr().out
    assert main(["stop", "no-such-model"]) == 1
    assert f"reciter (pid {server.pid})" in capsys.readouterr().err
    assert main(["stop"]) == 1
    assert main(["stop", str(server.pid)]) == 0
    assert capsys.readouterr().out == f"stopped reciter (pid {server.pid})\n" or server.pid is None
    assert list_servers(registry) == []
    assert main(["stop", "--all"]) == 0
    server.stop()


def test_logs_follow_until_the_server_ends(engine: Engine, registry: Registry) -> None:
    server = shared(engine)
    server.start()
    command = [sys.executable, "-c", "import sys; from rocm_core.cli import main; sys.exit(main())"]
    following = subprocess.Popen(
        [*command, "logs", "reciter", "-f", "-n", "1"], stdout=subprocess.PIPE, text=True
    )
    with following:
        assert following.stdout
        assert following.stdout.readline()
        say_hello(server)
        for line in following.stdout:
            if "stop processing" in line or "release" in line:
                break
        stop_server(find_servers("reciter", registry)[0], registry)
        assert following.wait(PATIENCE) == 0
    server.stop()


# -- secrets ----------------------------------------------------------------------------------


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
    for process in (psutil.Process(pid), psutil.Process(listed.facts["keeper_pid"])):
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


def test_nobody_else_can_reach_the_keepers_socket(engine: Engine, registry: Registry) -> None:
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


def test_threads_that_attach_at_once_share_one_lease(engine: Engine, registry: Registry) -> None:
    server = shared(engine)
    threads = [threading.Thread(target=server.start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list_servers(registry)[0].facts["attached"] == 1
    server.stop()
    wait_for(lambda: list_servers(registry)[0].facts["attached"] == 0)
