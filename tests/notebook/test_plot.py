"""The lines that ``%rocm_top`` draws, and what it counts as the speed of a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rocm_core.notebook import top as top_module
from rocm_core.notebook.plot import LOOKS, Line, Panel
from rocm_core.notebook.top import Top
from rocm_core.supervisor.metrics import Metrics
from tests.support.gpu_trees import rx_7800_xt_first
from tests.support.machine import Machine


def line(*values: float | None, top: float | None = None) -> Line:
    made = Line("busy", "%", top)
    made.values.extend(values)
    return made


def test_what_is_unknown_is_a_gap() -> None:
    drawn = Panel("GPU 0", [line(1, 2, None, 3, top=4)]).html()
    assert len(re.findall("<polyline", drawn)) == 2
    assert Panel("GPU 0", [line(None)]).html().count("<polyline") == 0


def test_the_newest_value_is_at_the_right_edge_and_the_oldest_are_dropped() -> None:
    full = line(*range(LOOKS + 10))
    assert len(full.values) == LOOKS and full.last == f"{LOOKS + 9} %"
    points = re.findall(r'points="([^"]*)"', Panel("x", [line(5)]).html())[0].split()
    assert {point.split(",")[0] for point in points} == {"320.0"}


def test_a_name_cannot_be_html() -> None:
    assert "<img" not in Panel("<img src=x>", [line(1)], facts="<img>").html()


def test_a_recorded_machine_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_module, "watched_servers", lambda: iter(()))
    rx_7800_xt_first(Machine(tmp_path))
    card, apu = Top(str(tmp_path)).look()
    assert "RX 7800 XT" in card.title and card.lines[0].last == "2 %"
    assert apu.lines[0].last == "-" and "32 W" in card.facts


def metrics(at: float, ended: int) -> Metrics:
    return Metrics(at=at, counters={"tokens_predicted_total": ended})


def test_the_speed_counts_answers_under_way_and_those_that_ended_once() -> None:
    top = Top()
    busy = {"is_processing": True, "next_token": [{"n_decoded": 40}]}
    idle = {"is_processing": False, "next_token": [{"n_decoded": 60}]}
    old = {"is_processing": True, "next_token": {"n_decoded": 40}}
    assert top._speed("a", metrics(0, 0), []) is None
    assert top._speed("a", metrics(2, 0), [busy]) == 20  # 40 tokens in 2 seconds
    assert top._speed("a", metrics(3, 60), [idle]) == 20  # the same answer, 20 more, and ended
    assert top._speed("a", metrics(4, 60), [idle]) == 0
    assert top._speed("b", metrics(0, 0), []) is None
    assert top._speed("b", metrics(1, 0), [old]) == 40
    assert top._speed("c", Metrics(at=0), [busy]) is None


def test_an_answer_that_ends_between_two_questions_is_not_counted_twice() -> None:
    top = Top()
    busy = {"is_processing": True, "next_token": [{"n_decoded": 3000}]}
    top._speed("a", metrics(0, 0), [busy])
    assert top._speed("a", metrics(1, 0), []) == 0  # it has ended, and the counter was read before
    assert top._speed("a", metrics(2, 3100), []) == 100


def test_tokens_of_a_broken_off_answer_are_not_waited_for() -> None:
    top = Top()
    busy = {"is_processing": True, "next_token": [{"n_decoded": 3000}]}
    top._speed("a", metrics(0, 0), [busy])
    assert [top._speed("a", metrics(at, 0), []) for at in (1, 2)] == [0, 0]
    assert top._speed("a", metrics(3, 50), []) == 50
