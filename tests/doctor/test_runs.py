"""The doctor's run part: one token of each engine, and the places it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core.doctor.engines import find_engines
from rocm_core.doctor.runs import run_checks
from tests.support.doctor import by_name, write
from tests.support.servers.fake_engines import broken


def test_a_program_that_does_not_answer(tmp_path: Path) -> None:
    said = "error loading model: unknown model architecture: 'x'"
    path = broken(tmp_path, f'echo "{said}"; exit 1')
    engines = find_engines({}, path).found[:1]
    checks = by_name(run_checks(engines, (), {}))
    answer = checks["answer_of_llama_server"]
    assert answer.status == "failed"
    assert "does not know the architecture x" in answer.detail
    assert answer.remedy == "use a newer llama.cpp build"


@pytest.mark.usefixtures("llama_server")
def test_a_program_that_sees_a_gpu_and_does_not_use_it() -> None:
    engines = find_engines({}, None).found[:1]
    checks = by_name(run_checks(engines, ("binary",), {}))
    answer = checks["answer_of_llama_server"]
    assert answer.status == "failed"
    assert "on the CPU" in answer.detail
    assert "server_path=" in answer.remedy


@pytest.mark.parametrize(
    ("directory", "status", "words"),
    [("models", "ok", "holds 1 model"), ("gone", "failed", "is no directory")],
)
def test_the_model_directory(tmp_path: Path, directory: str, status: str, words: str) -> None:
    write(tmp_path, "models/a.gguf")
    write(tmp_path, "models/mmproj-a.gguf")
    env = {"ROCM_MODEL_DIR": str(tmp_path / directory)}
    check = run_checks([], (), env)[0]
    assert (check.name, check.status) == ("model_directory", status)
    assert words in check.detail


def test_no_place_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_place() -> Path:
        raise OSError("no writable directory")

    monkeypatch.setattr("rocm_core.supervisor.socket_dir.create", no_place)
    check = run_checks([], (), {})[1]
    assert (check.name, check.status) == ("runtime_directory", "failed")
    assert "XDG_RUNTIME_DIR" in check.remedy
