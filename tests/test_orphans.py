"""Whatever ends the Python process, its servers end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from rocm_core.config import Engine

_PREAMBLE = """
import sys, threading, asyncio, time
from rocm_core import LoadConfig, Server, resolve_ref
servers = [
    Server(resolve_ref("demo"), LoadConfig(engine=sys.argv[1], context_len=n))
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


def launch(engine: Engine, body: str) -> tuple[subprocess.Popen[str], list[int]]:
    program = subprocess.Popen(
        [sys.executable, "-c", _PREAMBLE + body, engine],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert program.stdout
    pids = [int(pid) for pid in program.stdout.readline().split()]
    return program, pids


def runs(pid: int) -> bool:
    try:
        # An orphan stays a zombie until the machine's first process gets around to it.
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def all_gone_within(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(map(runs, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("where", _STARTED_FROM)
def test_kill_9_leaves_no_server(engine: Engine, where: str) -> None:
    program, pids = launch(engine, f"{_STARTED_FROM[where]}\nreport()\ntime.sleep(60)")
    with program:
        assert len(pids) == 3
        # A request to die that belonged to the forking thread would have fired by now.
        time.sleep(0.3)
        assert all(map(runs, pids))
        program.send_signal(signal.SIGKILL)
        assert all_gone_within(pids, 2.0)


def test_kill_9_leaves_no_server_where_there_is_no_setpriv(engine: Engine) -> None:
    without = "from rocm_core.server import process\nprocess._quick_guard = lambda: ()\n"
    program, pids = launch(engine, f"{without}start()\nreport()\ntime.sleep(60)")
    with program:
        assert len(pids) == 3
        program.send_signal(signal.SIGKILL)
        assert all_gone_within(pids, 2.0)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_other_deaths_leave_no_server(engine: Engine, signum: signal.Signals) -> None:
    program, pids = launch(engine, "start()\nreport()\ntime.sleep(60)")
    with program:
        assert len(pids) == 3
        program.send_signal(signum)
        assert all_gone_within(pids, 2.0)


@pytest.mark.parametrize(
    "ending", ["sys.exit(3)", "raise SystemError", "pass", "import os; os.abort()"]
)
def test_the_end_of_the_program_ends_its_servers(engine: Engine, ending: str) -> None:
    program, pids = launch(engine, f"start()\nreport()\n{ending}")
    with program:
        assert len(pids) == 3
        program.wait(timeout=20)
        assert all_gone_within(pids, 2.0)


def test_a_model_left_open_at_exit_is_no_leak(engine: Engine) -> None:
    body = """
from rocm_core import load_model
model = load_model("demo", engine=sys.argv[1])
stream = model.generate("x", max_tokens=5000, ignore_eos=True)
next(stream)
print(model.connection.server.pid, flush=True)
"""
    program, pids = launch(engine, body)
    with program:
        assert program.wait(timeout=20) == 0
        assert all_gone_within(pids, 2.0)
