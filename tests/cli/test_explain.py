"""``llama-rocm explain``: a file, a pipe, or the last failed start."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rocm_core.cli import main
from rocm_core.errors import ServerStartError
from rocm_core.supervisor.exits import kernel_log
from rocm_core.supervisor.exits.kernel_log import KernelLog, read_kernel_log
from rocm_core.supervisor.exits.last_start import remember

LINE = "llama-1  | libvulkan.so.1: cannot open shared object file: No such file or directory"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_kernel_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "read_kernel_log", lambda: KernelLog([], "refused"))


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes, *, terminal: bool = False) -> None:
    buffer = io.BytesIO(data)
    stdin = SimpleNamespace(buffer=buffer, closed=False, isatty=lambda: terminal)
    monkeypatch.setattr("sys.stdin", stdin)


def test_a_file(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.log").write_bytes(LINE.encode() + b"\r\n\xff\xfe\n")
    assert main(["explain", str(tmp_path / "a.log")]) == 0
    out = capsys.readouterr().out
    assert "Cause: the Vulkan loader libvulkan.so.1 is not installed" in out
    assert "Remedy: install it" in out
    assert "a.log: 2 lines" in out
    assert "kernel's log: refused" in out


@pytest.mark.parametrize("args", [[], ["-"]])
def test_a_pipe_as_json(args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    piped(monkeypatch, LINE.encode())
    assert main(["explain", *args, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["failure"]["name"] == "missing_vulkan_loader"
    assert told["runs"] is False
    assert told["looked"][0] == "standard input: 1 lines"


def test_nothing_known(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    piped(monkeypatch, b"all is new here\n")
    assert main(["explain", "-"]) == 1
    assert "Nothing known explains it." in capsys.readouterr().out


def test_a_server_that_runs_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    log = b"ggml_vulkan: No devices found.\nserver is listening on http://127.0.0.1:8080\n"
    piped(monkeypatch, log)
    assert main(["explain"]) == 0
    assert "It runs without a GPU: the Vulkan loader sees no GPU" in capsys.readouterr().out


def test_the_exit_code_counts(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    piped(monkeypatch, b"loading\n")
    assert main(["explain", "--returncode", "137"]) == 0
    assert "SIGKILL" in capsys.readouterr().out


def test_rows_of_another_back_end_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, b"ggml_vulkan: No devices found.\n")
    assert main(["explain", "--backend", "hip"]) == 1


def test_the_last_failed_start(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    piped(monkeypatch, b"", terminal=True)
    assert main(["explain"]) == 1
    assert "no failed start is known here" in capsys.readouterr().err
    remember("gemma", ServerStartError("x", returncode=127, log_tail=[LINE]))
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert "libvulkan.so.1" in out
    assert "the last failed start of gemma: 1 lines" in out
    assert "exit code: 127" in out


def test_the_kernels_log_counts_in_the_logs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    log = tmp_path / "a.log"
    log.write_text("loading\n")
    killed = f"[{time.monotonic():.3f}] Out of memory: Killed process 7 (ollama) total-vm:1kB"
    monkeypatch.setattr(kernel_log, "read_kernel_log", lambda: KernelLog([killed]))
    assert main(["explain", str(log), "--returncode", "137"]) == 0
    assert "Name: killed_for_memory" in capsys.readouterr().out
    week = 7 * 86400
    os.utime(log, (time.time() - week, time.time() - week))
    assert main(["explain", str(log), "--returncode", "137"]) == 0
    assert "Name: killed\n" in capsys.readouterr().out


def test_a_file_that_is_not_there(capsys: Capture) -> None:
    assert main(["explain", "/nowhere"]) == 1
    assert "/nowhere: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("#!/bin/sh\necho one; echo two\n", ""),
        ("#!/bin/sh\necho 'dmesg: read kernel buffer failed' >&2; exit 1\n", "read kernel buffer"),
        ("#!/bin/sh\nexit 3\n", "code 3"),
        (None, "cannot be run"),
    ],
)
def test_the_kernels_log(
    program: str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program:
        (tmp_path / "dmesg").write_text(program)
        (tmp_path / "dmesg").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    log = read_kernel_log()
    assert problem in log.problem
    assert log.lines == ([] if problem else ["one", "two"])
