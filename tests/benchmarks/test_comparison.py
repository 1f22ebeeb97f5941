"""``--compare`` finds what got worse, and nothing else."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.comparison import OURS, NotComparable, compared
from benchmarks.contenders import GROUPS, Setting, build
from benchmarks.measuring import event_loop
from benchmarks.process import ScriptedServer

RECORD: dict[str, Any] = {
    "machine": "2 cores, x86_64, Python 3.11.7",
    "load": "0.3",
    "versions": {"langchain-core": "1.8.3"},
    "size": {"rounds": 5, "distinct": [1, 50]},
    "sections": [
        {
            "name": "burst", "title": "CPU per chunk", "columns": {"median": "µs/chunk"},
            "plotted": "median",
            "rows": [
                {"name": "Client.chat", "median": 4.0, "to_httpx": 0.3, "to_floor": None},
                {"name": "ChatRocm.stream", "median": 8.0, "to_httpx": 0.6, "to_floor": 0.7},
                {"name": "ChatOpenAI.stream", "median": 120.0, "to_httpx": 9.0, "to_floor": 11.0},
            ],
        },
    ],
    "targets": [
        {"what": "ChatOpenAI / ChatRocm", "promise": ">= 6", "measured": 15.0, "kept": True,
         "ratio": True},
        {"what": "import, CPU ms", "promise": "<= 40", "measured": 38.0, "kept": True,
         "ratio": False},
    ],
}  # fmt: skip


def _changed(row: int, **values: object) -> dict[str, Any]:
    record = copy.deepcopy(RECORD)
    record["sections"][0]["rows"][row].update(values)
    return record


def _run(tmp_path: Path, new: dict[str, Any], old: dict[str, Any] = RECORD) -> int:
    files = {"old": old, "new": new}
    for name, record in files.items():
        (tmp_path / name).write_text(json.dumps(record), encoding="utf-8")
    return command.main(["--read", str(tmp_path / "new"), "--compare", str(tmp_path / "old")])


def test_equal_ratios_are_no_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path, RECORD) == 0
    printed = capsys.readouterr().out
    assert "| burst: ChatRocm.stream, x floor | 0.700 | 0.700 | +0.0 % |  |" in printed
    assert "0 of 4 ratios worse" in printed


@pytest.mark.parametrize(("value", "code"), [(0.734, 0), (0.736, 1), (0.1, 0)])
def test_a_ratio_over_five_percent_worse_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float, code: int
) -> None:
    assert _run(tmp_path, _changed(1, to_floor=value)) == code
    lines = capsys.readouterr().out.splitlines()
    [line] = [each for each in lines if "ChatRocm.stream, x floor" in each]
    assert ("**worse**" in line) is bool(code)


@pytest.mark.parametrize(("value", "code"), [(14.3, 0), (14.2, 1), (30.0, 0)])
def test_where_more_is_better_less_fails(tmp_path: Path, value: float, code: int) -> None:
    record = copy.deepcopy(RECORD)
    record["targets"][0]["measured"] = value
    assert _run(tmp_path, record) == code


def test_times_and_others_ratios_are_not_compared(tmp_path: Path) -> None:
    record = _changed(2, to_httpx=20.0, to_floor=30.0)
    record["sections"][0]["rows"][0]["median"] = 100.0
    record["targets"][1]["measured"] = 400.0
    assert _run(tmp_path, record) == 0


def test_the_worst_is_first_and_what_else_changed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _changed(1, to_floor=1.4)
    record["versions"] = {"langchain-core": "1.9.0"}
    record["size"] = {"rounds": 1, "distinct": (1, 50)}
    del record["sections"][0]["rows"][0]
    assert _run(tmp_path, record) == 1
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert rows[2].startswith("| burst: ChatRocm.stream, x floor |")
    assert "- langchain-core: 1.8.3 → 1.9.0" in printed
    assert "- rounds: 5 → 1" in printed
    assert "distinct" not in printed
    assert "- not measured this time: burst: Client.chat, x httpx" in printed


def test_measures_that_were_not_asked_for_are_not_missed() -> None:
    old = copy.deepcopy(RECORD)
    old["sections"].append({"name": "growth", "rows": [{"name": "Client.chat", "ratio": 1.0}]})
    old["targets"].append({"what": "of growth", "promise": "<= 1", "measured": 1.0, "ratio": True})
    assert not compared(old, RECORD).missing


def test_nothing_in_common_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {**RECORD, "sections": [], "targets": []}
    with pytest.raises(NotComparable, match="burst"):
        compared(old, RECORD)
    assert _run(tmp_path, RECORD, old) == 2
    assert "compare with a file of the same measures" in capsys.readouterr().err


def test_a_run_is_compared_with_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # what was measured before is measured again, without saying so
    file = tmp_path / "old.json"
    tiny = ["--rounds", "1", "--chunks", "5"]
    assert command.main([*tiny, "--only", "burst", "--json", str(file)]) == 0
    record = json.loads(file.read_text(encoding="utf-8"))
    assert record["versions"]["langchain-core"]
    assert record["versions"]["commit"]
    for row in record["sections"][0]["rows"]:
        row["to_httpx"] /= 1000
    file.write_text(json.dumps(record), encoding="utf-8")
    assert command.main([*tiny, "--compare", str(file)]) == 1
    printed = capsys.readouterr().out
    assert "burst: Client.chat, x httpx" in printed
    assert "CPU per chunk, paced" not in printed


def test_every_contender_of_ours_is_compared() -> None:
    ours = ("rocm_core", "ChatRocm", "RocmLLM")
    with ScriptedServer() as server, event_loop() as loop, ExitStack() as stack:
        setting = Setting(server.url("burst", 1), "burst", 1, loop)
        names = {each.name: group for group in GROUPS for each in build(setting, stack, [group])[0]}
    assert {group for name, group in names.items() if name.startswith(OURS)} == set(ours)
    assert all(name.startswith(OURS) for name, group in names.items() if group in ours)
