"""Faults of a supervised server that its own tests do not show: noise, hangs, strangers, forks."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rocm_core import GenerateConfig, LoadConfig, Server, State, load_model, resolve_ref
from rocm_core.config import Engine
from rocm_core.errors import PortInUse, RocmError, ServerDied, ServerStalled
from tests.support.engines import wrapped
from tests.support.leftovers import assert_freed, assert_gone
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, Program, wait_for
from tests.support.servers.fake_server import FakeServer, answer

HELLO = [{"role": "user", "content": "Hello"}]


def test_100_mb_of_log_neither_block_the_server_nor_fill_the_memory(
    engine: Engine, tmp_path: Path
) -> None:
    noise = "yes 'a line of a log that never ends, of about a hundred bytes, as llama.cpp prints'"
    program = wrapped(engine, tmp_path, f"{noise} | head -c 100000000 >&2")
    server = Server(resolve_ref(RECITER), LoadConfig(server_path=program))
    # The peak so far is of other tests: it starts anew (proc_pid_clear_refs(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_mib()
    server.start()
    grown = _peak_mib() - before
    print(f"\nmemory grew by {grown:.1f} MiB")
    assert grown < 20
    assert len(server.log_tail()) <= 400
    assert server.client.health() == "ok"
    server.stop()


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.slow
def test_a_server_that_hangs_while_loading_is_told_with_its_last_line(
    engine: Engine, tmp_path: Path
) -> None:
    program = wrapped(engine, tmp_path, "echo 'load: the last line before' >&2; kill -STOP $$")
    config = LoadConfig(server_path=program, stall_timeout=0.5)
    server = Server(resolve_ref(RECITER), config)
    with pytest.raises(ServerStalled, match="no progress for 0.5 s") as caught:
        server.start()
    assert caught.value.log_tail == ("load: the last line before",)
    assert server.pid is None


def test_a_wrapper_script_does_not_leave_its_server_behind(tmp_path: Path, engine: Engine) -> None:
    """The script runs the server as its child; ``kill -9`` hits the script alone."""
    program = wrapped(engine, tmp_path, "unset ROCM_PARENT_PID")
    text = program.read_text().replace("\nexec ", "\n", 2)
    program.write_text(text.rstrip() + "\nexit $?\n")
    server = Server(resolve_ref(RECITER), LoadConfig(server_path=program))
    server.start()
    script = server.pid
    assert script
    children = Path(f"/proc/{script}/task/{script}/children").read_text().split()
    assert children
    os.kill(script, signal.SIGKILL)
    wait_for(lambda: server.state is State.FAILED)
    assert_gone(map(int, children), 5)


def test_a_stranger_who_answers_200_to_everything_is_not_taken_for_ours(engine: Engine) -> None:
    with FakeServer() as stranger:
        for path in ("/health", "/props", "/v1/models", "/"):
            stranger.script(path, answer(b'{"status": "ok"}'))
        port = int(stranger.url.rpartition(":")[2])
        server = Server(resolve_ref(RECITER), LoadConfig(engine=engine, port=port))
        with pytest.raises(PortInUse):
            server.start()
    assert server.pid is None


def test_a_wall_clock_that_jumps_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_time = random.Random(4)
    monkeypatch.setattr(time, "time", lambda: random_time.uniform(0, 4e9))
    with load_model(RECITER, engine=engine, context_len=640, stall_timeout=30) as model:
        for _ in range(5):
            assert "".join(t.text for t in model.generate("x", max_tokens=3)) == "Hello! I am"


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_fault_under_16_streams_is_an_error_or_nothing_at_all(
    engine: Engine, fault: signal.Signals
) -> None:
    config = GenerateConfig(max_tokens=200, ignore_eos=True, temperature=0.0)
    with load_model(RECITER, engine=engine, context_len=960, parallel=4) as model:
        whole = "".join(t.text for t in model.chat(HELLO, config))
        server = model.connection.server  # type: ignore[attr-defined]
        running = threading.Semaphore(0)

        def ask(_: int) -> str | RocmError:
            try:
                running.release()
                return "".join(t.text for t in model.chat(HELLO, config))
            except RocmError as error:
                return error

        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(ask, number) for number in range(48)]
            for _ in range(20):
                running.acquire()
            os.kill(server.pid, fault)
            if fault == signal.SIGSTOP:
                time.sleep(0.3)
                os.kill(server.pid, signal.SIGCONT)
            outcomes = [job.result(PATIENCE) for job in asked]
    failed = [outcome for outcome in outcomes if isinstance(outcome, RocmError)]
    assert all(outcome == whole for outcome in outcomes if isinstance(outcome, str))
    assert all(isinstance(error, ServerDied) for error in failed)
    assert len(failed) < 48
    if fault == signal.SIGSTOP:
        assert not failed


_FORK = """
import os, sys
from rocm_core import load_model
model = load_model(sys.argv[2], engine=sys.argv[1])
def hello():
    return "".join(t.text for t in model.generate("x", max_tokens=3))
hello()
mine = model.connection.server.pid
child = os.fork()
if child == 0:
    print(hello(), model.connection.server.pid != mine, flush=True)
    model.close()
    os._exit(0)
os.waitpid(child, 0)
print(hello(), model.connection.server.pid == mine, flush=True)
"""


def test_after_a_fork_both_copies_work_and_each_owns_its_server(
    engine: Engine, start: Callable[..., Program]
) -> None:
    program = start(_FORK, engine, RECITER)
    assert program.line() == "Hello! I am True"
    assert program.line() == "Hello! I am True"


def test_a_fork_during_a_stream_does_not_hold_its_slot(engine: Engine) -> None:
    """Closing the stream must close the connection although a copy of it was forked."""
    with load_model(RECITER, engine=engine, context_len=700) as model:
        stream = model.generate("x", max_tokens=6000, ignore_eos=True)
        next(stream)
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        try:
            stream.close()  # type: ignore[attr-defined]
            assert_freed(model, 1)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


_PARENT = """
import sys, threading, time
from rocm_core import LoadConfig, Server, resolve_ref
server = Server(resolve_ref(sys.argv[3]), LoadConfig(server_path=sys.argv[1]))
thread = threading.Thread(target=server.start, daemon=True)
thread.start()
while server.pid is None:
    time.sleep(0.001)
if sys.argv[2] != "starting":
    thread.join()
if sys.argv[2] == "stopping":
    threading.Thread(target=server.stop, daemon=True).start()
print(server._handle.child.pid if server._handle else 0, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("state", ["starting", "ready", "stopping"])
def test_a_parent_killed_in_any_state_leaves_no_server(
    engine: Engine, tmp_path: Path, start: Callable[..., Program], state: str
) -> None:
    program = start(_PARENT, str(wrapped(engine, tmp_path, "")), state, RECITER)
    pid = int(program.line())
    program.kill()
    assert_gone([pid] if pid else [])
