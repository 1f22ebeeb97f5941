"""What fits: context, layers, experts, slots; and what is loaded beside the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rocm_core.config import LoadConfig
from rocm_core.gguf import GGUFInfo, read_gguf, read_model
from rocm_core.memory.estimate import Companions, Device, estimate_memory
from rocm_core.memory.fit import fit_model
from tests.support.models import vision
from tests.support.models.shapes import Shape, write_header, write_model

MIB, GIB = 1 << 20, 1 << 30
# The measures of Qwen3-30B-A3B (its config.json), in 4 bits.
MOE = Shape(
    "qwen3moe",
    layers=48,
    width=2048,
    heads=32,
    kv_heads=4,
    head=128,
    feed_forward=768,
    vocabulary=151936,
    experts=128,
    experts_used=8,
    weights="Q4_K",
)


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> GGUFInfo:
    return read_model(write_header(tmp_path_factory.mktemp("moe") / "moe.gguf", MOE))


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> GGUFInfo:
    return read_model(write_model(tmp_path_factory.mktemp("dense") / "dense.gguf", Shape()))


@pytest.mark.parametrize(("size", "least"), [(24, 0), (12, 10), (8, 20)])
def test_a_mixture_of_experts_keeps_as_many_experts_on_the_gpu_as_fit(
    moe: GGUFInfo, size: int, least: int
) -> None:
    devices = [Device("ROCm0", size * GIB)]
    asked = LoadConfig(context_len=8192)
    config, estimate = fit_model(moe, asked, devices, goal="experts", margin=GIB)
    count = config.n_cpu_moe or 0
    assert least <= count <= 48 and (count > 0) == (least > 0)
    assert estimate.gpu_layers == estimate.layers == 49, "attention stays on the GPU"
    assert estimate.fits(GIB)
    if count:
        fewer = replace(config, n_cpu_moe=count - 1)
        assert not estimate_memory(moe, fewer, devices).fits(GIB)


def test_without_room_for_attention_alone_layers_leave_the_gpu_too(moe: GGUFInfo) -> None:
    devices = [Device("ROCm0", 1500 * MIB)]
    asked = LoadConfig(context_len=8192)
    config, estimate = fit_model(moe, asked, devices, goal="experts", margin=0)
    assert config.n_cpu_moe == 48
    assert 0 < estimate.gpu_layers < 49 and estimate.fits()


def test_experts_in_host_memory_leave_the_gpu_and_nothing_is_lost(moe: GGUFInfo) -> None:
    devices = [Device("ROCm0", 24 * GIB)]
    gpu, host = estimate_memory(moe, LoadConfig(n_cpu_moe=12), devices).devices
    all_gpu, all_host = estimate_memory(moe, LoadConfig(), devices).devices
    moved = host.weights - all_host.weights
    experts = sum(
        t.nbytes or 0 for t in moe.tensors if "_exps" in t.name and int(t.name.split(".")[1]) < 12
    )
    assert moved == experts == all_gpu.weights - gpu.weights
    assert gpu.kv_cache == all_gpu.kv_cache
    everything = estimate_memory(moe, LoadConfig(n_cpu_moe=99), devices).devices[0]
    assert everything.weights < all_gpu.weights / 10


def test_rules_count_before_counts_and_name_buffers(dense: GGUFInfo) -> None:
    devices = [Device("Vulkan0", GIB), Device("Vulkan1", GIB)]
    rules = (r"blk\.0\.ffn_up=Vulkan1", r"blk\.0\.=CPU")
    config = LoadConfig(n_cpu_ffn=1, override_tensor=rules, tensor_split=(1, 0))
    first, second, host = estimate_memory(dense, config, devices).devices
    sizes = {t.name: t.nbytes or 0 for t in dense.tensors}
    block = sum(size for name, size in sizes.items() if name.startswith("blk.0."))
    up = sizes["blk.0.ffn_up.weight"]
    assert second.weights == up
    assert host.weights == sizes["token_embd.weight"] + block - up
    assert first.weights == dense.weights_size - host.weights - up


def test_slots_with_a_share_of_one_cache_take_one_cache(dense: GGUFInfo) -> None:
    def cache(config: LoadConfig) -> int:
        return estimate_memory(dense, config).devices[-1].kv_cache

    # Lines of b11434: "sizing KV pool to n_parallel * kv_unified_per_slot = 4 * 512", 8.00 MiB.
    assert cache(LoadConfig(kv_unified_per_slot=512)) == 8 * MIB
    assert cache(LoadConfig(kv_unified_per_slot=512, context_len=1024)) == 4 * MIB
    assert cache(LoadConfig(kv_unified_per_slot=512, parallel=2)) == 4 * MIB
    assert cache(LoadConfig(kv_unified_per_slot=512, parallel=2, context_len=4096)) == 16 * MIB


# -- beside the model -----------------------------------------------------------------------


def test_a_projector_lies_on_the_first_gpu_or_where_it_is_told(
    dense: GGUFInfo, tmp_path: Path
) -> None:
    vision.build(tmp_path / "mmproj.gguf", 256)
    beside = Companions(projector=read_gguf(tmp_path / "mmproj.gguf"))
    devices = [Device("Vulkan0", GIB), Device("Vulkan1", GIB)]

    def sizes(**options: Any) -> list[int]:
        config = LoadConfig(**options)
        found = estimate_memory(dense, config, devices, companions=beside)
        return [device.projector for device in found.devices]

    picture = 3 * 28 * 28 * 4
    first, second, host = sizes()
    # "[mtmd] estimated worst-case memory usage of mmproj is 0.42 MiB" (b10434 and b11434).
    assert first == pytest.approx(0.425 * MIB, rel=0.05)
    assert (second, host) == (0, picture)
    assert sizes(mmproj_device="Vulkan1") == [0, first, picture]
    assert sizes(mmproj_device="none") == [0, 0, first]


def test_a_draft_model_is_whole_on_the_gpus_with_the_context_of_the_model(
    dense: GGUFInfo, tmp_path: Path
) -> None:
    shape = Shape(layers=2, width=128, heads=2, kv_heads=2, feed_forward=352)
    draft = read_model(write_model(tmp_path / "draft.gguf", shape))
    config = LoadConfig(context_len=4096, gpu_layers=2, cache_type_k="q8_0")
    devices = [Device("Vulkan0", GIB)]
    beside = Companions(draft=draft)
    gpu, host = estimate_memory(dense, config, devices, companions=beside).devices
    # Of b10434: 1.77 + 4.00 + 6.57 MiB on the device; 1.00 + 0.06 + 4.51 on the host.
    assert gpu.draft == pytest.approx(12.34 * MIB, rel=0.02)
    assert host.draft == pytest.approx(5.57 * MIB, rel=0.02)


def test_what_lies_beside_the_model_counts_for_what_fits(dense: GGUFInfo, tmp_path: Path) -> None:
    vision.build(tmp_path / "mmproj.gguf", 256)
    beside = Companions(projector=read_gguf(tmp_path / "mmproj.gguf"))
    alone = estimate_memory(dense, LoadConfig(), [Device("Vulkan0", GIB)]).devices[0].total
    devices = [Device("Vulkan0", alone)]
    assert estimate_memory(dense, LoadConfig(), devices).fits()
    assert not estimate_memory(dense, LoadConfig(), devices, companions=beside).fits()
