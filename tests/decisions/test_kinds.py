"""Files of decision models: listed as such, and loaded so that whole questions fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rocm_core import discover_models, read_gguf
from rocm_core.cli import main
from rocm_core.config import LoadConfig
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.command_line import Build, _with_whole_inputs  # no engine needed
from tests.support.models import decider


def test_the_header_tells_the_type(tmp_path: Path) -> None:
    for kind in (decider.TYPE, "lev", None):
        decider.build(path := tmp_path / f"{kind}.gguf", kind)
        assert read_gguf(path).decision_type == kind


def test_models_lists_the_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decider.build(tmp_path / "decides.gguf")
    decider.build(tmp_path / "plain.gguf", None)
    found = {model.name: model for model in discover_models(tmp_path, caches=False)}
    assert found["decides"].kind == "decision"
    assert found["plain"].kind == "model"
    assert main(["models", str(tmp_path), "--no-caches"]) == 0
    assert "decision model (openjev)" in capsys.readouterr().out
    assert main(["models", str(tmp_path), "--no-caches", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert listed["decides"]["decision_type"] == "openjev"
    assert listed["plain"]["decision_type"] is None


@pytest.mark.parametrize(
    ("kind", "ubatch"), [("laya", 8192), ("kev", 8192), ("clef", 8192), ("openjev", None)]
)
def test_whole_questions_fit_into_one_batch(tmp_path: Path, kind: str, ubatch: int | None) -> None:
    decider.build(path := tmp_path / "m.gguf", kind)
    ref = ModelRef("file", str(path), "m")
    build = Build(frozenset())
    assert _with_whole_inputs(ref, LoadConfig(), build).ubatch_size == ubatch
    assert _with_whole_inputs(ref, LoadConfig(ubatch_size=64), build).ubatch_size == 64


def test_a_program_that_asks_none_does_not_import_them() -> None:
    code = (
        "import sys\nfrom rocm_core import load_model, run_doctor\n"
        "print([name for name in sys.modules if 'decisions' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
