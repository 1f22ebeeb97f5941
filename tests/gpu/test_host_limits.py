"""How many threads may still be started: control groups, and the limit of a user."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from rocm_core.gpu import host_limits
from rocm_core.gpu.host_limits import threads_left
from tests.support.machine import Machine


@pytest.fixture(autouse=True)
def _no_limit_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_limits, "_user_threads_left", lambda root: None)


def test_no_limit_is_near(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert threads_left(tmp_path) is None
    machine.write("proc/self/cgroup", "0::/app.slice/job")
    machine.write("sys/fs/cgroup/app.slice/job/pids.max", "max")
    machine.write("sys/fs/cgroup/app.slice/job/pids.current", 7)
    assert threads_left(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("0::/app.slice/job", "sys/fs/cgroup"),
        ("7:cpu,pids:/app.slice/job", "sys/fs/cgroup/pids"),
        ("4:memory:/other\n7:pids:/app.slice/job\n0::/", "sys/fs/cgroup/pids"),
    ],
)
def test_a_control_group_has_the_limits_of_those_above_it(
    tmp_path: Path, line: str, folder: str
) -> None:
    machine = Machine(tmp_path)
    machine.write("proc/self/cgroup", line)
    machine.write(f"{folder}/app.slice/pids.max", 100)
    machine.write(f"{folder}/app.slice/pids.current", 30)
    machine.write(f"{folder}/app.slice/job/pids.max", "max")
    assert threads_left(tmp_path) == 70
    machine.write(f"{folder}/app.slice/job/pids.max", 20)
    machine.write(f"{folder}/app.slice/job/pids.current", 25)
    assert threads_left(tmp_path) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_limit_of_a_user_counts_the_threads_of_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("os.geteuid", lambda: 1)
    limit: dict[str, int] = {"most": 100}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit["most"], 1 << 20))
    for process, threads in (("11", 1), ("12", 5)):
        for thread in range(threads):
            (tmp_path / "proc" / process / "task" / str(thread)).mkdir(parents=True)
    nlink = (tmp_path / "proc" / "12" / "task").stat().st_nlink
    if nlink != 7:
        pytest.skip("this file system does not count directories as the kernel does")
    assert threads_left(tmp_path) == 94
    limit["most"] = 5
    assert threads_left(tmp_path) == 0
    for most in (resource.RLIM_INFINITY, 1 << 17):
        limit["most"] = most
        assert threads_left(tmp_path) is None
