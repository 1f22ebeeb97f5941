"""Poor machines: limits, closed descriptors, full disks. An answer, or an error of our tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core.config import Engine
from tests.support.limited import Poor, outcome, prefix

_START = ("ServerStartError", "EngineNotFound", "ServerDied", "ServerStalled")


def _limit(name: str, value: int, *may_fail: str, unprivileged: bool = False) -> Poor:
    before = f"resource.setrlimit(resource.RLIMIT_{name}, ({value}, {value}))"
    return Poor(before, may_fail=may_fail, unprivileged=unprivileged)


ENVIRONMENTS = {
    "processes 200": _limit("NPROC", 200, unprivileged=True),
    "processes 100": _limit("NPROC", 100, unprivileged=True),
    "processes 48": _limit("NPROC", 48, unprivileged=True),
    "processes 8": _limit("NPROC", 8, *_START, unprivileged=True),
    "files 256": _limit("NOFILE", 256),
    "files 64": _limit("NOFILE", 64),
    "files 20": _limit("NOFILE", 20, *_START),
    "memory 8 GB": _limit("AS", 8 << 30),
    "memory 500 MB": _limit("AS", 500 << 20, *_START),
    "no core": _limit("CORE", 0),
    "full disk": _limit("FSIZE", 0, *_START),
    "no stdin": Poor("os.close(0)"),
    "no stdout": Poor("os.close(1)"),
    "no stderr": Poor("os.close(2)"),
    "no descriptors": Poor("[os.close(n) for n in (0, 1, 2)]"),
    "stdout full": Poor("os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"),
    "no home": Poor(env={"HOME": None, "XDG_CONFIG_HOME": None}, unprivileged=True),
    "no such home": Poor(env={"HOME": "/nonexistent", "XDG_CONFIG_HOME": None}),
    "config is a device": Poor(env={"XDG_CONFIG_HOME": "/dev/null"}),
    "runtime is a file": Poor(env={"XDG_RUNTIME_DIR": "/dev/null"}),
    "runtime is gone": Poor(env={"XDG_RUNTIME_DIR": "/nonexistent"}),
    "read-only runtime": Poor(env={"XDG_RUNTIME_DIR": "/proc/self"}),
    "no temporary directory": Poor(env={"TMPDIR": "/nonexistent"}),
    "no place for sockets": Poor(
        "import tempfile; tempfile.tempdir = '/nonexistent'",
        {"XDG_RUNTIME_DIR": "/nonexistent"},
        _START,
    ),
    "no PATH": Poor(env={"PATH": None}),
    "empty PATH": Poor(env={"PATH": ""}),
    "C locale": Poor(env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "folder removed": Poor("os.mkdir('x'); os.chdir('x'); os.rmdir('../x')"),
    "children ignored": Poor("signal.signal(signal.SIGCHLD, signal.SIG_IGN)"),
    "signals blocked": Poor("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"),
    "umask 0": Poor("os.umask(0)"),
    "umask 077": Poor("os.umask(0o077)"),
    "umask 777": Poor("os.umask(0o777)", may_fail=_START, unprivileged=True),
    "nice": Poor("os.nice(19)"),
    "interrupts ignored": Poor("signal.signal(signal.SIGINT, signal.SIG_IGN)"),
    "a broken pipe kills": Poor("signal.signal(signal.SIGPIPE, signal.SIG_DFL)"),
    "stack 1 MB": _limit("STACK", 1 << 20),
    "no locked memory": _limit("MEMLOCK", 0),
    "no pending signals": _limit("SIGPENDING", 0, *_START),
    "data 1 GB": _limit("DATA", 1 << 30, *_START),
    "home is relative": Poor(env={"HOME": "x", "XDG_CONFIG_HOME": "y"}),
    "home is a device": Poor(env={"HOME": "/dev/null", "XDG_CONFIG_HOME": None}),
    "caches are a device": Poor(env={"XDG_CACHE_HOME": "/dev/null", "XDG_STATE_HOME": "/dev/null"}),
    "a long temporary directory": Poor(env={"TMPDIR": "/tmp/" + "long/" * 40}),
    "folder without rights": Poor(
        "os.mkdir('x'); os.chdir('x'); os.chmod('.', 0)", unprivileged=True
    ),
    "warnings are errors": Poor(env={"PYTHONWARNINGS": "error"}),
    "no assertions": Poor(env={"PYTHONOPTIMIZE": "2"}),
    "ASCII streams": Poor(env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}),
    "a development Python": Poor(env={"PYTHONDEVMODE": "1"}),
    "relative libraries": Poor(env={"LD_LIBRARY_PATH": ":lib:", "PATH": ":bin:/usr/bin:/bin"}),
    "one CPU": Poor("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ENVIRONMENTS)), ids=list(ENVIRONMENTS))
def test_an_answer_or_an_error_of_ours(number: int, engine: Engine, tmp_path: Path) -> None:
    poor = list(ENVIRONMENTS.values())[number]
    if poor.unprivileged and prefix() is None:
        pytest.skip("root, and no setpriv")
    shared = (number + (engine == "binary")) % 2  # each environment both ways, on one engine each
    told = outcome(poor, engine, 0.2 if shared else 0.0, tmp_path)
    kind = told.partition(" ")[0]
    assert kind == "answer" or kind in poor.may_fail, told
