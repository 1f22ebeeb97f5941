"""What is loaded beside a model, against the lines of a real llama-server on the CPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rocm_core.config import LoadConfig
from rocm_core.gguf import read_gguf, read_model
from rocm_core.memory.estimate import Companions, estimate_memory
from tests.support.buffers import buffers_of, devices_of, load_log
from tests.support.models import vision
from tests.support.models.shapes import Shape, write_adapter, write_model

MIB = 1 << 20
SHAPE = Shape()


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory, llama_server: None) -> Path:
    return write_model(tmp_path_factory.mktemp("dense") / "dense.gguf", SHAPE)


def test_a_draft_model_takes_what_is_estimated(dense: Path, tmp_path: Path) -> None:
    shape = Shape(layers=2, width=128, heads=2, kv_heads=2, feed_forward=352)
    config = LoadConfig(
        context_len=2048, draft_model=write_model(tmp_path / "draft.gguf", shape), load_mode="none"
    )
    beside = Companions(draft=read_model(str(config.draft_model)))
    host = estimate_memory(read_model(dense), config, companions=beside).devices[-1]
    lines = load_log(
        dense, context_len=2048, draft_model=config.draft_model, load_mode=config.load_mode
    )
    assert host.draft > 0
    assert host.total / MIB == pytest.approx(buffers_of(lines).total, rel=0.05)


def test_an_adapter_takes_what_is_estimated(dense: Path, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "adapter.gguf", SHAPE, rank=64)
    config = LoadConfig(context_len=2048, lora=(path,))
    beside = Companions(adapters=(read_gguf(path),))
    host = estimate_memory(read_model(dense), config, companions=beside).devices[-1]
    real = devices_of(load_log(dense, context_len=2048, lora=(path,)))["CPU"]
    assert host.adapters / MIB == pytest.approx(real["lora"], abs=0.01)
    assert host.total / MIB == pytest.approx(real.total(), rel=0.05)


def test_a_projector_takes_what_the_server_reckons(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("_IMAGE", 336), ("_WIDTH", 256), ("_HIDDEN", 1024), ("PATCHES", 576)):
        monkeypatch.setattr(vision, name, size)
    vision.build(tmp_path / "mmproj.gguf", SHAPE.width)
    config = LoadConfig(context_len=1024, mmproj=tmp_path / "mmproj.gguf")
    beside = Companions(projector=read_gguf(tmp_path / "mmproj.gguf"))
    host = estimate_memory(read_model(dense), config, companions=beside).devices[-1]
    # Without a warm-up the server reckons the weights alone.
    log = "\n".join(load_log(dense, "--warmup", context_len=1024, mmproj=config.mmproj))
    said = re.search(r"memory usage of mmproj is ([\d.]+) MiB", log)
    assert said and host.projector / MIB == pytest.approx(float(said[1]), rel=0.02)
