"""A server that died is explained with what the kernel says of it, where that may be read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, State, resolve_ref
from rocm_core.config import Engine
from rocm_core.errors import ServerDied, ServerStartError
from rocm_core.supervisor.exits import kernel_log, reason
from rocm_core.supervisor.exits.kernel_log import KernelLog, may_read_kernel_log, read_kernel_log
from tests.support.models.reciter import RECITER
from tests.support.programs import wait_for

OOM = "[{now:12.6f}] Out of memory: Killed process {pid} (llama-server) total-vm:33330696kB"
Says = Callable[..., list[float]]


@pytest.fixture
def kernel_says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Make the kernel say lines; returns the list of the times allowed for each reading."""

    def says(*lines: str, allowed: bool = True) -> list[float]:
        asked: list[float] = []

        def read(timeout: float) -> KernelLog:
            asked.append(timeout)
            return KernelLog(list(lines))

        monkeypatch.setattr(reason, "may_read_kernel_log", lambda: allowed)
        monkeypatch.setattr(reason, "read_kernel_log", read)
        return asked

    return says


def death(server: Server) -> ServerDied:
    pid = server.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.state is not State.READY)
    with pytest.raises(ServerDied) as caught:
        server.client.health()
    return caught.value


def test_a_killed_server_is_said_to_be_out_of_memory(server: Server, kernel_says: Says) -> None:
    server.start()
    asked = kernel_says(OOM.format(now=time.monotonic(), pid=server.pid))
    error = death(server)
    assert error.cause == "the kernel ended it because memory ran out"
    assert error.cause in str(error)
    assert asked == [1.0]  # once, and for a second at most


@pytest.mark.parametrize("wrong", ["process", "time"])
def test_what_is_not_about_it_does_not_count(wrong: str, server: Server, kernel_says: Says) -> None:
    server.start()
    assert server.pid
    pid = server.pid + (wrong == "process")
    kernel_says(OOM.format(now=time.monotonic() - 600 * (wrong == "time"), pid=pid))
    assert "often by the kernel's out-of-memory killer" in death(server).cause


def test_what_may_not_be_read_is_not_asked_for(server: Server, kernel_says: Says) -> None:
    server.start()
    asked = kernel_says(OOM.format(now=time.monotonic(), pid=server.pid), allowed=False)
    assert "SIGKILL" in death(server).cause
    assert asked == []


def test_a_refused_argument_stays_the_cause(engine: Engine, kernel_says: Says) -> None:
    kernel_says(f"[{time.monotonic() + 1:12.6f}] amdgpu 0000:03:00.0: amdgpu: GPU reset begin!")
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine, extra_args=["--frobnicate"]))
    with pytest.raises(ServerStartError) as caught:
        server.start()
    assert "does not know the argument" in caught.value.cause


@pytest.mark.parametrize(
    ("user", "restricted", "may"), [(0, "1", True), (1000, "1", False), (1000, "0\n", True)]
)
def test_who_may_read_it(
    user: int, restricted: str, may: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dmesg_restrict").write_text(restricted)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(kernel_log, "_RESTRICTED", tmp_path / "dmesg_restrict")
    assert may_read_kernel_log() is may
    monkeypatch.setattr(kernel_log, "_RESTRICTED", tmp_path / "none")
    assert may_read_kernel_log() is (user == 0)


def test_it_is_bounded_in_time_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dmesg"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    began = time.monotonic()
    assert "longer than 0.2 s" in read_kernel_log(0.2).problem
    assert time.monotonic() - began < 5
    program.write_text(
        "#!/bin/sh\necho first; head -c 4000000 /dev/zero | tr '\\0' x; echo; echo last"
    )
    lines = read_kernel_log().lines
    assert (lines[0], lines[-1]) == ("first", "last")
    assert sum(map(len, lines)) <= 2 << 20
