"""Windows and macOS by construction: what Linux alone has is taken away, and it still works."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from rocm_core.config import Engine
from rocm_core.supervisor import socket_dir
from rocm_core.supervisor.child_process import Child
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, wait_for

# Standard modules that look at the platform when they are imported are imported before.
_PREAMBLE = """
import asyncio, multiprocessing, os, signal, socket, subprocess, sys, tempfile, uuid
import httpx, orjson, rich.console, rich.progress, importlib.metadata
engine = sys.argv[1]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in {refused!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
for name in {refused!r}:
    sys.modules.pop(name, None)
for module, names in (
    (os, {os_names!r}), (signal, {signal_names!r}), (socket, {socket_names!r}),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.platform = {platform!r}
"""
_WINDOWS = {
    "platform": "win32",
    "refused": ("fcntl", "resource", "pwd", "grp", "termios"),
    "os_names": (
        *("fork", "register_at_fork", "killpg", "getuid", "geteuid", "waitid", "setsid"),
        *("pidfd_open", "sched_getaffinity", "O_NOFOLLOW", "O_CLOEXEC", "getppid"),
    ),
    "signal_names": ("SIGKILL", "SIGHUP", "SIGSTOP", "SIGCONT", "pidfd_send_signal"),
    "socket_names": ("AF_UNIX",),
}
_MACOS = {
    "platform": "darwin",
    "refused": (),
    "os_names": ("pidfd_open", "sched_getaffinity", "waitid"),
    "signal_names": ("pidfd_send_signal",),
    "socket_names": (),
}
_SERVE = """
from rocm_core import LoadConfig, Server, load_model, resolve_ref
from rocm_core.errors import ConfigError
server = Server(resolve_ref(sys.argv[2]), LoadConfig(engine=engine))
server.start()
print("url" if server.url else "socket")
if server.url:
    with load_model(server.url, api_key=server.api_key) as remote:
        print("".join(t.text for t in remote.generate("x", max_tokens=3)))
server.stop()
print(server.state.value)
"""


_SHARE = """
shared = Server(resolve_ref(sys.argv[2]), LoadConfig(engine=engine, keep_alive=1))
try:
    shared.start()
    print(shared.client.health())
    shared.stop()
except ConfigError as error:
    print(error)
"""


def run(engine: Engine, body: str, without: Mapping[str, object], directory: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE.format(**without) + body, engine, RECITER],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, "XDG_RUNTIME_DIR": directory},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_on_windows_it_serves_on_a_port_and_says_that_nothing_can_be_shared(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = run(engine, _SERVE + _SHARE, _WINDOWS, str(tmp_path_factory.mktemp("w")))
    assert lines[:3] == ["url", "Hello! I am", "stopped"]
    assert "keep_alive needs unix sockets" in lines[3]


def test_on_macos_it_serves_on_a_socket(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = run(engine, _SERVE, _MACOS, str(tmp_path_factory.mktemp("m")))
    assert lines == ["socket", "stopped"]


def test_without_waitid_a_process_that_says_nothing_more_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither Windows nor macOS (before Python 3.13) has ``os.waitid``."""
    monkeypatch.delattr(os, "waitid")
    silent = ("sh", "-c", "exec >&- 2>&-; exec sleep 600")
    child = Child(silent, dict(os.environ), with_parent_death=False)
    try:
        wait_for(lambda: f"rocm-log-{child.pid}" not in {t.name for t in threading.enumerate()})
        threading.Thread(target=child.stop, args=(1.0,), daemon=True).start()
        assert child.exited.wait(PATIENCE)
        assert child.returncode == -signal.SIGTERM
    finally:
        if not child.exited.is_set():
            os.killpg(child.pid, signal.SIGKILL)


def test_leftovers_do_not_matter_where_there_are_no_unix_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "llama-rocm-old"
    old.mkdir()
    os.utime(old, (0, 0))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delattr(os, "getuid")
    monkeypatch.delattr(socket, "AF_UNIX")
    assert socket_dir.create().is_dir()


@pytest.mark.parametrize("package", ["rocm_core", "rocm_core.cli", "rocm_core.shared.daemon"])
@pytest.mark.parametrize("without", [_WINDOWS, _MACOS], ids=["windows", "macos"])
def test_every_package_is_imported_there(package: str, without: Mapping[str, object]) -> None:
    assert run("auto", f"import {package}; print('ok')", without, "") == ["ok"]
