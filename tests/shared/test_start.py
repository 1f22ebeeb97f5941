"""How the daemon is started: it runs nothing of the working directory, and needs no descriptor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rocm_core
from rocm_core.config import Engine
from rocm_core.engine.embedded_start import python_environment
from rocm_core.shared import daemon_start
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE

_ROOT = str(Path(rocm_core.__file__).parents[1])

# Imports what it needs before the working directory gets modules of the same names.
_SAY_HELLO = """
import os, sys
sys.path[:] = [p for p in sys.path if p not in ("", os.getcwd())]
result = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT)
os.dup2(result, 20)
for number in (*map(int, sys.argv[4]), result):
    os.close(number)
from rocm_core import load_model
with load_model(sys.argv[2], engine=sys.argv[1], keep_alive=float(sys.argv[5])) as model:
    text = "".join(token.text for token in model.generate("Hi", max_tokens=4))
os.write(20, text.encode())
"""


def say_hello(folder: Path, engine: Engine, closed: str, keep_alive: float, **env: str) -> str:
    said = folder / "said"
    arguments = [engine, str(RECITER), str(said), closed, str(keep_alive)]
    done = subprocess.run(
        [sys.executable, "-c", _SAY_HELLO, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": _ROOT, **env},
        check=False,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr.decode()
    return said.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("keep_alive", [0.0, 0.2], ids=["private", "shared"])
def test_no_module_of_the_working_directory_is_imported(
    engine: Engine, tmp_path: Path, keep_alive: float
) -> None:
    for name in ("queue", "orjson", "json", "logging", "xllamacpp", "rocm_core", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the {name}.py of a folder')")
    assert say_hello(tmp_path, engine, "", keep_alive)


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["0", "1", "2", "01", "02", "12", "012"])
def test_a_program_without_standard_descriptors_shares_a_server(
    engine: Engine, tmp_path: Path, closed: str
) -> None:
    assert say_hello(tmp_path, engine, closed, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_a_program_without_standard_descriptors_has_its_own_server(
    engine: Engine, tmp_path: Path, closed: str
) -> None:
    assert say_hello(tmp_path, engine, closed, 0.0)


def test_the_daemons_path_has_neither_its_folder_nor_the_working_one(tmp_path: Path) -> None:
    (tmp_path / "rocm_core.py").write_text("raise SystemExit('not the package')")
    look = "import sys, rocm_core.shared.daemon as d; d.main = lambda argv: print(sys.path)"
    here = str(Path(daemon_start.__file__).parent)
    run = f"import sys; sys.path[0] = {_ROOT!r}; {look}; sys.path.insert(0, {here!r})"
    code = f"{run}; import runpy; runpy.run_path({daemon_start.__file__!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    assert not {here, str(tmp_path), ""} & set(done.stdout.split("'"))


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/a", "/a"),
        ("", None),
        (os.pathsep, None),
        (f"{os.pathsep}/a", "/a"),
        (f"/a{os.pathsep}.{os.pathsep}/b", f"/a{os.pathsep}/b"),
    ],
)
def test_no_part_of_pythonpath_stands_for_the_working_directory(
    path: str, kept: str | None
) -> None:
    given = {"PYTHONPATH": path, "A": "1"}
    assert python_environment(given) == {"A": "1"} | ({"PYTHONPATH": kept} if kept else {})
    assert python_environment({"A": "1"}) == {"A": "1"}
