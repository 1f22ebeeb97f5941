"""The estimate against what a real llama-server allocates, and its arithmetic for GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from rocm_core.config import LoadConfig, override
from rocm_core.errors import ConfigError
from rocm_core.gguf import GGUFInfo, read_model
from rocm_core.memory.estimate import Device, MemoryEstimate, estimate_memory
from rocm_core.memory.fit import fit_model
from tests.support.buffers import Buffers, measure
from tests.support.models.shapes import Shape, write_model

MIB = 1 << 20
GIB = 1 << 30

SHAPES = {
    "dense": Shape(),
    "gqa": Shape(layers=9, width=384, heads=6, kv_heads=2, feed_forward=1024, vocabulary=20000),
    "wide heads": Shape("qwen3", layers=5, head=128, kv_heads=2, feed_forward=896),
    "few experts": Shape("llama", experts=8, experts_used=2, feed_forward=512),
    "many experts": Shape("qwen3moe", layers=5, experts=32, experts_used=8, feed_forward=96),
    "sliding window": Shape(
        "gemma3", layers=13, kv_heads=2, head=128, feed_forward=1536, window=512, tied=True
    ),
    "4 bit": Shape(layers=6, width=512, heads=8, feed_forward=1536, weights="Q4_K"),
}
LOADS: tuple[dict[str, Any], ...] = (
    {"context_len": 4096},
    {"context_len": 300, "parallel": 1},
    {"context_len": 2000, "parallel": 3, "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    {"context_len": 16384, "parallel": 1, "cache_type_k": "q4_0"},
    {"context_len": 1024, "parallel": 2, "flash_attn": False},
    {"context_len": 2048, "parallel": 4, "ubatch_size": 128},
    {"context_len": 1024, "cache_type_k": "f32", "cache_type_v": "f32"},
)


@dataclass(frozen=True)
class Load:
    """One load: estimated and real, in MiB."""

    name: str
    estimate: MemoryEstimate
    real: Buffers

    @property
    def error(self) -> float:
        return self.estimate.total / MIB / self.real.total - 1

    def __str__(self) -> str:
        host = self.estimate.devices[-1]
        kinds = (host.weights, host.kv_cache, host.output, host.compute)
        reckoned = ", ".join(f"{kind / MIB:.2f}" for kind in kinds)
        return f"{self.error:+.2%} {self.name}: {reckoned} for {self.real}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shapes")
    return {name: write_model(folder / f"{name}.gguf", shape) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def loads(llama_server: None, files: dict[str, Path]) -> Iterator[list[Load]]:
    """Every shape with every set of options, loaded by a real llama-server."""
    yield [
        Load(
            f"{name} {options}",
            estimate_memory(read_model(path), LoadConfig(**options)),
            measure(path, **options),
        )
        for name, path in files.items()
        for options in LOADS
    ]


@pytest.fixture(scope="module")
def info(files: dict[str, Path]) -> GGUFInfo:
    return read_model(files["gqa"])


# -- against llama.cpp's own buffer lines ---------------------------------------------------


@pytest.mark.timeout(300)
def test_total_of_every_load_is_near_and_never_too_low(loads: list[Load]) -> None:
    assert len(loads) >= 30
    wrong = [str(load) for load in loads if not -0.03 <= load.error < 0.10]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(300)
def test_median_error_is_small(loads: list[Load]) -> None:
    assert median(abs(load.error) for load in loads) < 0.02


@pytest.mark.timeout(300)
def test_cache_and_output_are_exact_to_the_printed_digit(loads: list[Load]) -> None:
    for load in loads:
        host = load.estimate.devices[-1]
        assert host.kv_cache / MIB == pytest.approx(load.real.kv, abs=0.02), str(load)
        assert host.output / MIB == pytest.approx(load.real.output, abs=0.01), str(load)


# -- GPUs: by llama.cpp's rules, which no GPU here can check --------------------------------


def test_all_on_one_gpu_leaves_the_token_table_and_the_output_on_the_host(info: GGUFInfo) -> None:
    estimate = estimate_memory(info, LoadConfig(context_len=4096), [Device("ROCm0", GIB)])
    gpu, host = estimate.devices

    assert (estimate.gpu_layers, estimate.layers, gpu.layers) == (10, 10, 10)
    table = next(t.nbytes for t in info.tensors if t.name == "token_embd.weight")
    assert host.weights == table
    assert gpu.weights == info.weights_size - host.weights
    assert (gpu.kv_cache, host.kv_cache) == (9 * 4096 * 2 * 2 * 128, 0)
    assert gpu.compute > host.compute > 0
    assert host.output == 4 * 20000 * 4


def test_tied_output_weights_lie_on_both_sides(files: dict[str, Path]) -> None:
    tied = read_model(files["sliding window"])
    gpu, host = estimate_memory(tied, LoadConfig(), [Device("ROCm0", GIB)]).devices
    table = next(t.nbytes for t in tied.tensors if t.name == "token_embd.weight")
    assert gpu.weights + host.weights == tied.weights_size + (table or 0)


def test_some_layers_on_the_gpu_are_the_last_ones(info: GGUFInfo) -> None:
    config = LoadConfig(context_len=4096, gpu_layers=4)
    gpu, host = estimate_memory(info, config, [Device("ROCm0", GIB)]).devices
    assert (gpu.layers, host.layers) == (4, 6)
    assert host.kv_cache == 2 * gpu.kv_cache  # 6 blocks here, 3 blocks and the output there


def test_no_layers_on_the_gpu_is_a_load_on_the_host_that_computes_on_the_gpu(
    info: GGUFInfo,
) -> None:
    config = LoadConfig(gpu_layers=0, context_len=4096)
    gpu, host = estimate_memory(info, config, [Device("ROCm0", 1)]).devices
    assert host.weights == info.weights_size
    assert (gpu.weights, gpu.kv_cache) == (0, 0)
    # 14.28 and 5.51 MiB in the log of b10434 (Vulkan): the GPU computes large batches, with copies
    # of one weight and one layer's cache at a time.
    assert gpu.total == gpu.compute == pytest.approx(14.28 * MIB, rel=0.15)
    assert host.compute == pytest.approx(5.51 * MIB, rel=0.01)


def test_layers_are_split_by_free_memory_or_as_told(info: GGUFInfo) -> None:
    devices = [Device("ROCm0", 3 * GIB), Device("ROCm1", GIB)]
    by_memory = estimate_memory(info, LoadConfig(), devices)
    told = estimate_memory(info, LoadConfig(), devices, split=(1, 1))

    assert [d.layers for d in by_memory.devices] == [8, 2, 0]
    assert [d.layers for d in told.devices] == [5, 5, 0]
    assert sum(d.kv_cache for d in told.devices) == sum(d.kv_cache for d in by_memory.devices)


def test_two_gpus_hold_the_inputs_of_several_batches_and_so_does_the_host(info: GGUFInfo) -> None:
    config = LoadConfig(context_len=8192)
    one, host = estimate_memory(info, config, [Device("ROCm0", GIB)]).devices
    gpus = [Device("ROCm0", GIB), Device("ROCm1", GIB)]
    two, _, beside = estimate_memory(info, config, gpus).devices
    # The masks, some integers for each token, and the tokens' vectors.
    masks, indices, vectors = 3 * 8192 * 512 * 2, 3 * 512 * 32, 4 * 384 * 512 * 4
    assert two.compute - one.compute == masks + indices + vectors
    assert beside.compute - host.compute == masks + indices


def test_batches_overlap_on_two_gpus_only_if_these_hold_every_layer(info: GGUFInfo) -> None:
    gpus = [Device("ROCm0", GIB), Device("ROCm1", GIB)]
    whole = estimate_memory(info, LoadConfig(context_len=8192), gpus).devices
    for options in ({"gpu_layers": 9}, {"n_cpu_ffn": 1}, {"override_tensor": ("norm=CPU",)}):
        config = override(LoadConfig(context_len=8192), options)
        assert estimate_memory(info, config, gpus).devices[-1].compute < whole[-1].compute / 2


def test_one_gpu_of_two_is_the_main_one_without_a_split(info: GGUFInfo) -> None:
    gpus = [Device("ROCm0", GIB), Device("ROCm1", GIB)]
    config = LoadConfig(split_mode="none", main_gpu=1)
    assert [d.layers for d in estimate_memory(info, config, gpus).devices] == [0, 10, 0]


def test_tensor_split_of_the_config_is_the_split(info: GGUFInfo) -> None:
    gpus = [Device("ROCm0", GIB), Device("ROCm1", GIB)]
    config = LoadConfig(tensor_split=(9, 1))
    assert [d.layers for d in estimate_memory(info, config, gpus).devices] == [9, 1, 0]


def test_a_gpu_with_the_output_layer_alone_holds_the_logits(info: GGUFInfo) -> None:
    gpus = [Device("ROCm0", GIB), Device("ROCm1", GIB)]
    config = LoadConfig(context_len=4096, gpu_layers=3)
    _, last, _ = estimate_memory(info, config, gpus).devices
    assert last.compute == pytest.approx(0.31 * MIB, rel=0.05)  # printed by b10434


def test_memory_of_an_apu_is_counted_once_for_host_and_gpu(info: GGUFInfo) -> None:
    config = LoadConfig(prompt_cache=0)
    gpu, host = estimate_memory(info, config, [Device("APU", GIB, unified=True)]).devices
    both = gpu.total + host.total
    for free, fits in ((both, True), (both - 1, False)):
        device = Device("APU", free, unified=True)
        assert estimate_memory(info, config, [device]).fits() is fits
    card = Device("ROCm0", gpu.total)
    assert estimate_memory(info, config, [card]).fits()


@pytest.mark.parametrize("split", [(1,), (0, 0), (-1, 2)])
def test_wrong_split_is_refused(info: GGUFInfo, split: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="share"):
        estimate_memory(info, LoadConfig(), [Device("a", 1), Device("b", 1)], split=split)


# -- the cache ------------------------------------------------------------------------------


def cache(info: GGUFInfo, **options: Any) -> int:
    return estimate_memory(info, LoadConfig(**options)).devices[-1].kv_cache


def test_slots_of_their_own_multiply_and_shared_ones_do_not(info: GGUFInfo) -> None:
    assert cache(info, context_len=4096, parallel=4) == 4 * cache(info, context_len=4096)


def test_quantized_cache_takes_its_block_sizes(info: GGUFInfo) -> None:
    full = cache(info, context_len=4096)
    assert cache(info, context_len=4096, cache_type_k="q8_0", cache_type_v="q8_0") == full * 34 / 64
    assert cache(info, context_len=4096, cache_type_v="q4_0") == full / 2 + full / 2 * 18 / 64


def test_context_of_the_model_is_the_default(info: GGUFInfo) -> None:
    assert estimate_memory(info).context_len == 32768


def test_unknown_cache_type_is_refused_with_the_known_ones(info: GGUFInfo) -> None:
    with pytest.raises(ConfigError, match="q8_0"):
        estimate_memory(info, LoadConfig(cache_type_k="q3_x"))


def with_keys(info: GGUFInfo, **keys: Any) -> GGUFInfo:
    named = {f"{info.architecture}.{key.replace('__', '.')}": v for key, v in keys.items()}
    return replace(info, metadata={**info.metadata, **named})


def test_layers_with_other_numbers_of_heads_are_counted_each(info: GGUFInfo) -> None:
    mixed = with_keys(info, attention__head_count_kv=(2, 4, 0, 2, 2, 2, 2, 2, 2))
    assert cache(mixed, context_len=4096) == cache(info, context_len=4096)


def test_compressed_keys_have_no_values(info: GGUFInfo) -> None:
    compressed = with_keys(info, attention__key_length_mla=192)
    assert cache(compressed, context_len=4096) == cache(info, context_len=4096) / 2


def test_recurrent_layers_have_a_state_and_no_cache(info: GGUFInfo) -> None:
    hybrid = with_keys(
        info,
        full_attention_interval=3,
        ssm__state_size=16,
        ssm__inner_size=256,
        ssm__conv_kernel=4,
        ssm__group_count=1,
    )
    state = 4 * (3 * (256 + 2 * 16) + 256 * 16)
    expected = cache(info, context_len=4096, parallel=2) / 3 + 6 * state * 2
    assert cache(hybrid, context_len=4096, parallel=2) == expected


def test_layers_that_share_a_cache_have_none(info: GGUFInfo) -> None:
    shared = with_keys(info, attention__shared_kv_layers=3)
    assert cache(shared, context_len=4096) == cache(info, context_len=4096) * 6 / 9


def test_an_embedding_model_keeps_nothing(info: GGUFInfo) -> None:
    assert cache(replace(info, architecture="bert"), context_len=512) == 0
    assert cache(with_keys(info, attention__causal=False), context_len=512) == 0


def test_what_is_no_model_is_refused(info: GGUFInfo) -> None:
    with pytest.raises(ConfigError, match="is a projector"):
        estimate_memory(replace(info, kind="projector"))
    with pytest.raises(ConfigError, match="does not say layers"):
        estimate_memory(replace(info, layers=None))


# -- what fits ------------------------------------------------------------------------------


def test_largest_context_fits_and_the_next_one_does_not(info: GGUFInfo) -> None:
    devices = [Device("ROCm0", 200 * MIB)]
    config, estimate = fit_model(info, LoadConfig(), devices, goal="context", margin=16 * MIB)

    assert 256 <= config.context_len < 32768
    assert estimate.fits(16 * MIB)
    larger = replace(config, context_len=config.context_len + 256)
    assert not estimate_memory(info, larger, devices).fits(16 * MIB)


def test_most_layers_and_most_slots_fit_and_one_more_does_not(info: GGUFInfo) -> None:
    devices = [Device("ROCm0", 60 * MIB)]
    config, estimate = fit_model(
        info, LoadConfig(context_len=4096), devices, goal="layers", margin=0
    )
    assert isinstance(config.gpu_layers, int)
    assert 0 < config.gpu_layers < 10 and estimate.fits()
    more = replace(config, gpu_layers=config.gpu_layers + 1)
    assert not estimate_memory(info, more, devices).fits()

    devices = [Device("ROCm0", 400 * MIB)]
    config, estimate = fit_model(
        info, LoadConfig(context_len=4096), devices, goal="slots", margin=0
    )
    assert config.parallel and estimate.fits()
    more = replace(config, parallel=config.parallel + 1)
    assert not estimate_memory(info, more, devices).fits()


def test_what_cannot_fit_is_told(info: GGUFInfo) -> None:
    config, estimate = fit_model(
        info, LoadConfig(), [Device("ROCm0", MIB)], goal="context", margin=0
    )
    assert config.context_len == 256
    assert not estimate.fits()


def test_memory_only_grows_with_context_and_slots(files: dict[str, Path]) -> None:
    """What the bisection rests on."""
    for path in files.values():
        info = read_model(path)
        gpus = [Device("ROCm0", 3 * GIB), Device("ROCm1", GIB)]
        for name, values in (
            ("context_len", range(256, 8192, 512)),
            ("parallel", range(1, 9)),
        ):
            totals = [
                [
                    d.total
                    for d in estimate_memory(info, override(LoadConfig(), {name: v}), gpus).devices
                ]
                for v in values
            ]
            for smaller, larger in pairwise(totals):
                assert all(a <= b for a, b in zip(smaller, larger, strict=True)), (path, name)
