"""Options that place weights and share caches: both engines load with each, and answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rocm_core import GenerateConfig, load_model
from rocm_core.config import Engine
from rocm_core.errors import RocmError
from tests.support.engines import as_the_wheel_can
from tests.support.models.shapes import Shape, write_model

ANSWER = GenerateConfig(max_tokens=4, ignore_eos=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shapes")
    shapes = {
        "dense": Shape(layers=3),
        "experts": Shape("qwen3moe", layers=3, experts=8, experts_used=2, feed_forward=96),
    }
    return {name: write_model(folder / f"{name}.gguf", shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("experts", {"n_cpu_moe": 2}),
        ("dense", {"n_cpu_ffn": 2}),
        ("dense", {"override_tensor": [r"blk\.(0|2)\.ffn_.*=CPU", "norm=CPU"]}),
        ("dense", {"lazy_mode": "on"}),
        ("dense", {"mmproj_device": "none"}),
        ("dense", {"load_mode": "none"}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_model_answers_with_each_option(
    engine: Engine, files: dict[str, Path], name: str, options: dict[str, Any]
) -> None:
    load: dict[str, Any] = {"engine": engine, "context_len": 512, "threads": 1, **options}
    newest = "lazy_mode" if "lazy_mode" in options else "n_ctx"
    with as_the_wheel_can(newest, engine), load_model(files[name], **load) as model:
        assert len(list(model.generate("t1 t2 t3", ANSWER))) >= 1


def test_slots_share_a_cache_and_none_takes_more_than_its_share(
    engine: Engine, files: dict[str, Path]
) -> None:
    options: dict[str, Any] = {"engine": engine, "threads": 1, "parallel": 2}
    with (
        as_the_wheel_can("kv_unified_per_slot", engine),
        load_model(files["dense"], kv_unified_per_slot=512, **options) as model,
    ):
        assert list(model.generate("t1 t2 t3", ANSWER))
        assert (model.info.n_ctx, model.info.total_slots) == (512, 2)


def test_a_buffer_that_the_build_does_not_have_ends_the_load_with_its_name(
    engine: Engine, files: dict[str, Path]
) -> None:
    options: dict[str, Any] = {"engine": engine, "override_tensor": ["norm=Vulkan7"]}
    with (
        pytest.raises(RocmError, match=r"Vulkan7|buffer type"),
        load_model(files["dense"], **options) as model,
    ):
        list(model.generate("t1", ANSWER))
