"""This machine as a user asks the doctor about it, and a recorded one from the command line."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, doctor, resolve_ref
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.doctor import worst
from rocm_core.doctor.machine import machine_checks
from rocm_core.gpu import kfd_problem
from tests.support.gpu_trees import build
from tests.support.models.reciter import RECITER

no_gpu_here = pytest.mark.skipif(kfd_problem() is None, reason="this machine has an AMD GPU")
COMMAND = [sys.executable, "-c", "from rocm_core.cli import main; raise SystemExit(main())"]


def command(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "doctor", *args], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.engine
@no_gpu_here
def test_this_machine_has_no_gpu_and_its_cpu_engines_work() -> None:
    done = command("--json")
    assert done.returncode == 1
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert found["kernel_driver"]["status"] == "failed"
    assert found["kernel_driver"]["remedy"]
    answers = [check for name, check in found.items() if name.startswith("answer_")]
    assert answers
    for answer in answers:
        assert answer["status"] == "ok", answer
        assert re.search(r"one token in \d+ ms \(.+\), on the CPU", answer["detail"]), answer


@pytest.mark.engine
@no_gpu_here
def test_with_allow_cpu_that_is_fine() -> None:
    done = command("--allow-cpu")
    assert done.returncode == 0
    assert "warn" in done.stdout
    assert "FAIL" not in done.stdout
    assert "→" in done.stdout
    assert done.stdout.rstrip().endswith("It works, with the warnings above.")


def test_a_recorded_machine_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--root", str(build("rx_7900_xtx", tmp_path))]) == 0
    said = capsys.readouterr().out
    assert "RX 7900 XTX" in said
    assert "llama_server" not in said
    assert said.rstrip().endswith("All is well.")


def test_a_running_server_is_checked_instead(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Server(resolve_ref(RECITER), LoadConfig(engine=engine, port=0))
    with contextlib.ExitStack() as ending:
        ending.callback(there.stop)
        there.start()
        key = there.api_key or ""
        monkeypatch.setenv("THE_KEY", key)
        command = ["doctor", "--url", there.url or "", "--dry-run", "--api-key-env"]
        assert main([*command, "THE_KEY"]) == 0
        said = capsys.readouterr().out
        assert "ok    dry_run" in said
        assert key not in said
        monkeypatch.setenv("THE_KEY", "another")
        assert main([*command, "THE_KEY"]) == 1
        assert "FAIL  authenticated" in capsys.readouterr().out
    assert main([*command, "NO_SUCH_VARIABLE"]) == 1
    assert "NO_SUCH_VARIABLE is not set" in capsys.readouterr().err


def test_the_face() -> None:
    assert set(doctor.__all__) == {"run_doctor", "worst"}
    assert worst([]) == "ok"
    assert machine_checks("/nonexistent", {}, None)[0][0].status == "failed"
