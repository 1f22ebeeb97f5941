"""Whatever ends the Python process, its servers end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rocm_core.config import Engine
from tests.support.leftovers import assert_gone
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, Program, runs

_PREAMBLE = """
import sys, threading, asyncio, time
from rocm_core import LoadConfig, Server, resolve_ref
servers = [
    Server(resolve_ref(sys.argv[2]), LoadConfig(engine=sys.argv[1], context_len=n))
    for n in (512, 768, 1024)
]
def start():
    for server in servers:
        server.start()
def report():
    print(*(server.pid for server in servers), flush=True)
"""
_STARTED_FROM = {
    "the main thread": "start()",
    "a short-lived thread": "t = threading.Thread(target=start); t.start(); t.join()",
    "an asyncio executor": (
        "async def main():\n"
        "    await asyncio.gather(*(server.astart() for server in servers))\n"
        "asyncio.run(main())"
    ),
}


def launch(
    start: Callable[..., Program], engine: Engine, body: str, servers: int = 3
) -> tuple[Program, list[int]]:
    """The program, and the pids of its servers."""
    program = start(_PREAMBLE + body, engine, RECITER)
    pids = [int(pid) for pid in program.line().split()]
    assert len(pids) == servers
    return program, pids


@pytest.mark.parametrize("where", _STARTED_FROM)
def test_kill_9_leaves_no_server(engine: Engine, start: Callable[..., Program], where: str) -> None:
    body = f"{_STARTED_FROM[where]}\nreport()\ntime.sleep(600)"
    program, pids = launch(start, engine, body)
    # A request to die that belonged to the forking thread would have fired by now.
    time.sleep(0.3)
    assert all(map(runs, pids))
    program.kill()
    assert_gone(pids)


def test_kill_9_leaves_no_server_where_there_is_no_setpriv(
    engine: Engine, start: Callable[..., Program]
) -> None:
    module = "from rocm_core.supervisor import child_process"
    without = f"{module}\nchild_process._setpriv = lambda: ()\n"
    program, pids = launch(start, engine, f"{without}start()\nreport()\ntime.sleep(600)")
    program.kill()
    assert_gone(pids)


def test_a_child_whose_parent_is_gone_before_it_asked_does_not_start(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    body = """
import subprocess, sys
from rocm_core.supervisor import child_process
*guard, parent = child_process._parent_death_prefix()
subprocess.run([*guard, "1", "/bin/touch", sys.argv[1]])
"""
    subprocess.run([sys.executable, "-c", body, str(mark)], check=True)
    assert not mark.exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_other_deaths_leave_no_server(
    engine: Engine, start: Callable[..., Program], signum: signal.Signals
) -> None:
    program, pids = launch(start, engine, "start()\nreport()\ntime.sleep(600)")
    program.process.send_signal(signum)
    assert_gone(pids)


@pytest.mark.parametrize(
    "ending", ["sys.exit(3)", "raise SystemError", "pass", "import os; os.abort()"]
)
def test_the_end_of_the_program_ends_its_servers(
    engine: Engine, start: Callable[..., Program], ending: str
) -> None:
    program, pids = launch(start, engine, f"start()\nreport()\n{ending}")
    program.process.wait(PATIENCE)
    assert_gone(pids)


def test_a_model_left_open_at_exit_is_no_leak(
    engine: Engine, start: Callable[..., Program]
) -> None:
    body = """
from rocm_core import load_model
model = load_model(sys.argv[2], engine=sys.argv[1])
stream = model.generate("x", max_tokens=5000, ignore_eos=True)
next(stream)
print(model.connection.server.pid, flush=True)
"""
    program, pids = launch(start, engine, body, servers=1)
    assert program.process.wait(PATIENCE) == 0
    assert_gone(pids)
