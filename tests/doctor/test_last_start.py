"""The doctor tells the last failed start, for a week, until the model has started since."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rocm_core.doctor.last_start import last_start_checks
from rocm_core.errors import ServerStartError
from rocm_core.supervisor.exits.last_start import remember


def kept(directory: Path, age: float, **fields: str) -> dict[str, str]:
    env = {"XDG_STATE_HOME": str(directory)}
    tail = ["0.1 I loading", "0.2 E something failed"]
    remember("gemma", ServerStartError("x", returncode=1, log_tail=tail, **fields), env)
    (path,) = (directory / "llama-rocm").iterdir()
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "time": time.time() - age}))
    return env


def test_without_one_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert last_start_checks({"XDG_STATE_HOME": str(tmp_path)}) == []


@pytest.mark.parametrize(
    ("age", "said"), [(1, "just now"), (61, "1 minute ago"), (7300, "2 hours ago")]
)
def test_its_age_cause_and_remedy_are_told(tmp_path: Path, age: float, said: str) -> None:
    env = kept(tmp_path, age, cause="port 1 is taken", remedy="take another")
    (check,) = last_start_checks(env)
    assert check.status == "warning"
    assert check.detail == f"gemma, {said}: port 1 is taken"
    assert check.remedy == "take another"


def test_one_that_is_not_explained_shows_its_end(tmp_path: Path) -> None:
    (check,) = last_start_checks(kept(tmp_path, 100000))
    assert check.detail == "gemma, 1 day ago: exited with code 1: 0.2 E something failed"
    assert "llama-rocm explain" in check.remedy


@pytest.mark.parametrize("age", [8 * 86400, -3600])
def test_old_ones_and_those_of_a_wrong_clock_are_not_told(tmp_path: Path, age: float) -> None:
    assert last_start_checks(kept(tmp_path, age)) == []
