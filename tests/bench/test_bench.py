"""``llama-rocm bench`` on both real engines, with tiny numbers. Speeds are not judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rocm_core import TextModel
from rocm_core.bench import BenchPlan, BenchResult, Row, depths_that_fit, run_bench
from rocm_core.bench.plan import Prompts, stream_counts
from rocm_core.bench.plot import draw
from rocm_core.cli import main
from rocm_core.errors import ConfigError

TINY = BenchPlan(prompt=8, generate=4, depths=(0, 16), streams=2, repetitions=2)


def test_every_test_has_its_samples(model: TextModel) -> None:
    told: list[str] = []
    result = run_bench(model, TINY, told.append)
    names = ["pp8", "tg4", "pp8 @ d16", "tg4 @ d16", "ttft8", "tg4 x 1", "tg4 x 2"]
    assert [row.test for row in result.rows] == told == names
    assert not result.notes
    assert result.slots and result.context_len and result.build
    for row in result.rows:
        assert len(row.samples) == TINY.repetitions
        assert min(row.samples) > 0
        assert row.unit == ("ms" if row.kind == "ttft" else "tok/s")


def test_a_prefill_at_depth_counts_only_what_comes_after(
    model: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    events = TextModel.completion_events

    def spy(self: TextModel, prompt: list[int], config: object) -> object:
        for event in events(self, prompt, config):  # type: ignore[arg-type]
            if event.timings:
                seen.append((len(prompt), event.timings.prompt_n, event.timings.cache_n))
            yield event

    monkeypatch.setattr(TextModel, "completion_events", spy)
    run_bench(model, BenchPlan(prompt=8, generate=2, depths=(64,), streams=1, repetitions=1))
    measured = [(prefilled, cached) for sent, prefilled, cached in seen if sent == 72]
    assert len(measured) == 2
    assert all(cached >= 63 and prefilled <= 9 for prefilled, cached in measured)
    # nothing else came from the cache
    assert {cached for sent, _, cached in seen if sent != 72} == {0}


def test_the_command_prints_a_table_json_and_draws(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ["bench", "-m", "demo", "--engine", engine, "--repetitions", "1", "--streams", "1"]
    tiny += ["--prompt", "8", "--generate", "4", "--depth", "0"]
    assert main(tiny) == 0
    printed = capsys.readouterr().out
    assert "pp8" in printed and "tg4 x 1" in printed and "tok/s" in printed
    assert main([*tiny, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [row["test"] for row in record["rows"]] == ["pp8", "tg4", "ttft8", "tg4 x 1"]
    assert record["rows"][0]["median"] == record["rows"][0]["samples"][0]


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "-m", "gone.gguf", "--plot", str(tmp_path / "a.png")]) == 1
    assert "pip install matplotlib" in capsys.readouterr().err


def test_a_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib runs this")
    rows = [Row("pp8", "tok/s", [1.0, 2.0], "pp", 0), Row("tg4 x 2", "tok/s", [3.0], "streams", 2)]
    draw(BenchResult("m", "b1", 128, 1, rows), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="cannot be written"):
        draw(BenchResult("m", "b1", 128, 1, rows), tmp_path / "none" / "a.png")


def test_depths_fit_the_context() -> None:
    plan = BenchPlan()
    assert depths_that_fit(plan, 4096) == (0, 2048)
    assert depths_that_fit(plan, 0) == (0,)
    assert depths_that_fit(BenchPlan(depths=(100,)), 4096) == (100,)
    with pytest.raises(ConfigError, match="--context-len"):
        depths_that_fit(BenchPlan(depths=(4000,)), 4096)
    with pytest.raises(ConfigError, match="--context-len"):
        depths_that_fit(plan, 256)


@pytest.mark.parametrize("wrong", [{"prompt": 0}, {"repetitions": 0}, {"depths": (-1,)}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="at least"):
        BenchPlan(**wrong)  # type: ignore[arg-type]


def test_counts_of_streams() -> None:
    assert [stream_counts(n) for n in (1, 2, 3, 8)] == [(1,), (1, 2), (1, 2, 3), (1, 2, 4, 8)]


def test_prompts_differ_and_stay_within_the_vocabulary() -> None:
    first, second = Prompts(260).take(50), Prompts(260).take(50)
    assert first != second
    assert set(first) | set(second) <= set(range(260))
