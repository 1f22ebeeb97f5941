"""How much host memory earlier prompts may take, and where the estimate counts it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rocm_core import LoadConfig
from rocm_core.demo import demo_model_path
from rocm_core.errors import ConfigError
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.memory.estimate import Device, estimate_memory
from rocm_core.memory.prompt_cache import prompt_cache_bytes

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture(scope="module")
def info() -> GGUFInfo:
    return read_gguf(demo_model_path())


def auto(info: GGUFInfo | None, available: int | None, beside: bool = False, **options: int) -> int:
    config = LoadConfig(**options)  # type: ignore[arg-type]
    return prompt_cache_bytes(info, config, available, beside_model=beside)


def test_a_small_model_gets_room_for_sixteen_full_prompts(info: GGUFInfo) -> None:
    one = estimate_memory(info, LoadConfig(parallel=1)).devices[-1].kv_cache
    assert auto(info, 64 * GIB) == 16 * one // MIB * MIB < GIB
    slots = auto(info, 64 * GIB, parallel=4)
    assert slots == auto(info, 64 * GIB), "a prompt is as long as one slot's context"
    assert auto(info, 64 * GIB, context_len=256) == 64 * MIB, "and never less than this"


def test_a_large_model_gets_a_share_of_the_memory_that_is_there(info: GGUFInfo) -> None:
    large = replace(info, layers=80, context_length=131072)
    assert auto(large, 16 * GIB) == 2 * GIB
    assert auto(large, 16 * GIB, beside=True) == GIB, "the model lies there as well"
    assert auto(large, 512 * GIB) == 4 * GIB
    assert auto(info, 256 * MIB, beside=True) == 16 * MIB, "whatever the model would like"


def test_what_is_unknown_is_taken_to_be_small(info: GGUFInfo) -> None:
    assert auto(None, 16 * GIB) == auto(replace(info, layers=None), 16 * GIB) == 2 * GIB
    assert auto(None, None) == 512 * MIB


@pytest.mark.parametrize(
    ("given", "size"),
    [("512M", 512 * MIB), ("off", 0), (False, 0), (0, 0), (3 * MIB + 5, 3 * MIB), ("8G", 8 * GIB)],
)
def test_a_size_is_taken_as_it_is(given: int | str, size: int, info: GGUFInfo) -> None:
    config = LoadConfig(prompt_cache=given)
    assert prompt_cache_bytes(info, config, GIB, beside_model=True) == size


@pytest.mark.parametrize("given", [512, "-1", -1, "much", True, None, 1.5])
def test_what_is_no_size_is_refused_not_rounded_to_off(given: object) -> None:
    with pytest.raises(ConfigError, match="prompt_cache"):
        LoadConfig(prompt_cache=given)  # type: ignore[arg-type]


def test_the_estimate_counts_it_on_the_host(info: GGUFInfo) -> None:
    config = LoadConfig(prompt_cache="96M")
    gpu, host = estimate_memory(info, config, [Device("ROCm0", GIB)]).devices
    assert (gpu.prompt_cache, host.prompt_cache) == (0, 96 * MIB)
    without = estimate_memory(info, LoadConfig(prompt_cache="off"), [Device("ROCm0", GIB)])
    estimate = estimate_memory(info, config, [Device("ROCm0", GIB)])
    assert (estimate.total, estimate.prompt_cache) == (without.total, 96 * MIB)
    needed = gpu.total + 1
    assert estimate_memory(info, config, [Device("ROCm0", needed)]).fits(), "VRAM is not host RAM"


def test_a_gpu_whose_memory_is_the_hosts_has_to_hold_it_too(info: GGUFInfo) -> None:
    config = LoadConfig(prompt_cache="96M")
    gpu, host = estimate_memory(info, config, [Device("APU", GIB, unified=True)]).devices
    assert (gpu.prompt_cache, host.prompt_cache) == (96 * MIB, 0)
    apu = [Device("APU", gpu.total + host.total + 96 * MIB - 1, unified=True)]
    assert not estimate_memory(info, config, apu).fits()
    assert estimate_memory(info, replace(config, prompt_cache="95M"), apu).fits()


def test_auto_counts_the_memory_of_an_apu_twice(info: GGUFInfo) -> None:
    large = replace(info, context_length=1 << 20)
    card = estimate_memory(large, devices=[Device("ROCm0", 99 * GIB)], available=16 * GIB)
    apu = estimate_memory(
        large, devices=[Device("APU", 99 * GIB, unified=True)], available=16 * GIB
    )
    assert (card.prompt_cache, apu.prompt_cache) == (2 * GIB, GIB)
    on_cpu = estimate_memory(large, available=16 * GIB)
    assert on_cpu.prompt_cache == GIB
