"""The mark ``engine``: who has it, and that nobody starts an engine without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rocm_core.config import Engine
from rocm_core.engine import embedded_start
from tests.support.no_engine.sitecustomize import VARIABLE, EngineStarted, starts_engine

EMBEDDED = (embedded_start.__file__, "--version")


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A program by the name and the first bytes of a real engine."""
    path = tmp_path / "llama-server"
    path.write_bytes(b"\x7fELF" + bytes(60))
    path.chmod(0o755)
    return path


def test_what_takes_an_engine_has_the_mark(request: pytest.FixtureRequest, engine: Engine) -> None:
    assert request.node.get_closest_marker("engine")
    assert VARIABLE not in os.environ


def test_a_command_that_starts_an_engine_is_recognized(tmp_path: Path, real: Path) -> None:
    script = tmp_path / "played" / "llama-server"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho 'I play an engine'\n")
    assert starts_engine([real, "--help"])
    assert starts_engine(["setpriv", "--", bytes(real)])
    assert starts_engine([sys.executable, *EMBEDDED])
    assert not starts_engine([script, "--help"])
    assert not starts_engine([sys.executable, "-c", "llama-server", tmp_path / "none/llama-server"])
    script.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    assert starts_engine([script])


def test_without_the_mark_it_is_refused_and_remembered(real: Path) -> None:
    log = Path(os.environ[VARIABLE])
    with pytest.raises(EngineStarted, match=r"pytest\.mark\.engine"):
        subprocess.run([real, "--version"], check=False)
    assert log.read_text() == f"{real} --version\n"
    log.write_text("")  # or this test would fail


@pytest.mark.parametrize("how", ["Popen", "execv", "import"])
def test_a_program_of_such_a_test_is_refused_too(tmp_path: Path, real: Path, how: str) -> None:
    body = {
        "Popen": f"import subprocess; subprocess.Popen([{str(real)!r}])",
        "execv": f"import os; os.execv({str(real)!r}, [{str(real)!r}])",
        "import": "import xllamacpp",
    }[how]
    log = tmp_path / "refused"
    done = subprocess.run(
        [sys.executable, "-c", body],
        env={**os.environ, VARIABLE: str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "EngineStarted" in done.stderr
    assert log.read_text().split() == (["import", "xllamacpp"] if how == "import" else [str(real)])
