"""``llama-rocm models`` and ``llama-rocm fit``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from rocm_core.cli import main
from rocm_core.cli.sizes import parse_size, show_size
from tests.support.buffers import measure
from tests.support.gpu_trees import build
from tests.support.models.shapes import Shape, write_model


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(layers=7, kv_heads=2, vocabulary=8192)
    return write_model(tmp_path_factory.mktemp("models") / "shaped-F16.gguf", shape)


def test_models_lists_facts_and_problems(
    shaped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    assert main(["models", str(shaped.parent), str(tmp_path), "--no-caches"]) == 0
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("shaped-F16"))
    assert line.split()[:1] + line.split()[3:] == [
        "shaped-F16",
        "F16",
        "9.4M",
        "32768",
        "llama",
        "directory",
    ]
    assert "broken.gguf has a damaged header" in shown


def test_models_as_json(shaped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(shaped.parent), "--no-caches", "--json"]) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert (only["name"], only["path"]) == ("shaped-F16", str(shaped))
    assert (only["architecture"], only["layers"], only["problem"]) == ("llama", 7, None)


def fit(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, object]]:
    code = main(["fit", *args, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_fit_lowers_the_context_when_all_does_not_fit(
    shaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, facts = fit(capsys, str(shaped), "--vram", "50M", "--margin", "1M")
    assert code == 0 and facts["fits"]
    assert facts["gpu_layers"] == facts["layers"] == 8
    assert 4096 <= int(str(facts["context_len"])) < 32768


def test_fit_takes_fewer_layers_when_a_context_is_asked_for(
    shaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A layer's cache that stays on the host is copied to the GPU, beside a mask of 32 MiB.
    args = (str(shaped), "--vram", "80M", "--margin", "1M", "--context-len", "32768")
    code, facts = fit(capsys, *args)
    assert code == 0
    assert facts["context_len"] == 32768
    assert 0 < int(str(facts["gpu_layers"])) < 8


def test_fit_for_slots_prints_flags_for_both_programs(
    shaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("--vram", "60M", "--margin", "0", "--max", "slots", "--context-len", "2048")
    code, facts = fit(capsys, str(shaped), *args, "--cache-type-k", "q8_0")
    slots = int(str(facts["parallel"]))
    assert code == 0 and slots > 1
    assert facts["flags"] == [
        "--gpu-layers=8", f"--parallel={slots}", "--context-len=2048",
        "--cache-type-k=q8_0",
    ]  # fmt: skip
    assert facts["llama_server_flags"] == [
        "-ngl", "8", "-np", str(slots), "-c", str(2048 * slots), "-ctk", "q8_0",
        "--cache-ram", str(int(str(facts["prompt_cache"])) >> 20),
    ]  # fmt: skip


def test_fit_counts_and_shows_the_prompt_cache(
    shaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = (str(shaped), "--vram", "1G", "--margin", "0", "--context-len", "2048")
    code, facts = fit(capsys, *args, "--prompt-cache", "96M")
    assert (code, facts["prompt_cache"]) == (0, 96 << 20)
    devices = facts["devices"]
    assert isinstance(devices, list)
    assert [device["prompt_cache"] for device in devices] == [0, 96 << 20]
    assert "--prompt-cache=96M" in str(facts["flags"])
    flags = facts["llama_server_flags"]
    assert isinstance(flags, list) and flags[-2:] == ["--cache-ram", "96"]
    assert main(["fit", *args, "--prompt-cache", "96M"]) == 0
    assert "up to 96.0 MiB of host memory" in capsys.readouterr().out
    assert main(["fit", *args, "--prompt-cache", "off"]) == 0
    assert "prompt cache is off" in capsys.readouterr().out


def test_fit_takes_the_prompt_cache_of_an_apu_from_the_gpus_memory(
    shaped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(build("strix_halo_4_gb", tmp_path))
    args = (str(shaped), "--root", root, "--margin", "0", "--context-len", "2048")
    _, facts = fit(capsys, *args, "--prompt-cache", "96M")
    devices = facts["devices"]
    assert isinstance(devices, list)
    assert [device["prompt_cache"] for device in devices] == [96 << 20, 0]
    free = devices[0]["free"]
    code, facts = fit(capsys, *args, "--prompt-cache", str(free))
    assert (code, facts["fits"]) == (1, False)


def test_fit_still_knows_the_flag_that_said_flash_attention_is_off(
    shaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in (["--no-flash-attn"], ["--flash-attn", "off"]):
        _, facts = fit(capsys, str(shaped), "--vram", "1G", *flag)
        assert "--flash-attn=off" in str(facts["flags"])


def test_fit_says_when_nothing_fits(shaped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(shaped), "--vram", "1M", "--margin", "0"]) == 1
    assert "It does not fit" in capsys.readouterr().out


def test_fit_asks_for_the_memory_where_there_is_no_gpu(
    shaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(shaped)]) == 1
    assert "--vram 24G" in capsys.readouterr().err


def test_fit_takes_the_memory_of_the_gpus_that_would_be_used(
    shaped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, facts = fit(capsys, str(shaped), "--root", str(build("rx_7800_xt_second", tmp_path)))
    assert code == 0
    assert "AMD Radeon RX 7800 XT" in str(facts)
    assert "Radeon Graphics" not in str(facts)


def test_fit_wants_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "http://127.0.0.1:1", "--vram", "1G"]) == 1
    assert "llama-rocm models" in capsys.readouterr().err


@pytest.mark.usefixtures("llama_server")
def test_printed_flags_load_in_llama_server(
    shaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, facts = fit(capsys, str(shaped), "--vram", "50M", "--margin", "1M")
    flags = facts["llama_server_flags"]
    assert isinstance(flags, list)
    real = measure(shaped, *flags)
    total = int(str(facts["total"])) / (1 << 20)
    assert real.kv > 0
    # On the CPU there is one set of compute buffers, not one per side.
    assert 0.7 * total < real.total < 1.03 * total


@pytest.mark.parametrize(
    ("text", "size"), [("24G", 24 << 30), ("1.5g", 3 << 29), ("512MiB", 512 << 20), ("7", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1P", "much"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="24G"):
        parse_size(text)


def test_sizes_are_shown_in_the_largest_unit() -> None:
    assert [show_size(n) for n in (512, 3 << 20, 5 << 30)] == ["0.5 KiB", "3.0 MiB", "5.00 GiB"]
