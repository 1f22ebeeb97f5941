"""Estimate weights, KV cache and compute buffers on every device that a load uses."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rocm_core.config import LoadConfig
from rocm_core.errors import ConfigError
from rocm_core.gguf import GGUFInfo, TensorInfo
from rocm_core.gguf.quantization import CACHE_TYPES
from rocm_core.memory.cache import Cells, cache_bytes, cells_of
from rocm_core.memory.compute import Batch, compute_bytes, input_bytes, mask_bytes
from rocm_core.memory.prompt_cache import prompt_cache_bytes

HOST = "CPU"
# llama-server's defaults: -b and -ub (common/common.h).
_BATCH, _UBATCH = 2048, 512
# With several GPUs, batches overlap, and each batch has its own inputs (GGML_SCHED_MAX_COPIES).
_PIPELINE_COPIES = 4
_BLOCK = re.compile(r"^blk\.(\d+)\.")
_FLOAT = 4
# ggml types whose matrices llama.cpp copies in another order for x86 CPUs with AVX2 (CPU_REPACK
# in the log; ggml/src/ggml-cpu/repack.cpp). It does not if a GPU's pinned host memory is used.
_REPACKED = frozenset({2, 12, 20, 39})  # q4_0, q4_K, iq4_nl, mxfp4


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU to load onto.

    Attributes:
        name: for the result, such as ``ROCm0``.
        free: free memory in bytes.
        unified: whether that is the host's memory (``Gpu.uses_host_memory``): the prompt cache
            is taken from it.
    """

    name: str
    free: int
    unified: bool = False


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes that a load needs on one device.

    Attributes:
        name: the device's name; ``CPU`` is the host.
        layers: layers on this device; the output layer counts as one.
        weights, kv_cache, compute: bytes of each.
        output: bytes of the logits that the host keeps.
        free: free bytes before the load; ``None`` if not given.
        prompt_cache: bytes that the prompt cache may grow to while the server answers; on the
            host, or on a device whose memory is the host's.
    """

    name: str
    layers: int
    weights: int
    kv_cache: int
    compute: int
    output: int = 0
    free: int | None = None
    prompt_cache: int = 0

    @property
    def total(self) -> int:
        """Bytes once the model is loaded, so without ``prompt_cache``."""
        return self.weights + self.kv_cache + self.compute + self.output


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """The memory that a load needs.

    Attributes:
        devices: the GPUs in the given order, then the host.
        context_len: tokens of one slot, as llama.cpp rounds them up.
        parallel: slots.
        shared: whether the slots share one KV cache.
        gpu_layers: layers on GPUs, the output layer included.
        layers: layers in all, the output layer included.
    """

    devices: tuple[DeviceMemory, ...]
    context_len: int
    parallel: int
    shared: bool
    gpu_layers: int
    layers: int

    @property
    def total(self) -> int:
        """Bytes on all devices together, once the model is loaded."""
        return sum(device.total for device in self.devices)

    @property
    def prompt_cache(self) -> int:
        """Bytes that the prompt cache may grow to beyond ``total``, wherever it lies."""
        return sum(device.prompt_cache for device in self.devices)

    def fits(self, margin: int = 0) -> bool:
        """Return whether every device keeps ``margin`` bytes free, its prompt cache filled.

        Devices without layers, or with unknown free memory, do not count.
        """
        return all(
            d.free is None or d.total + d.prompt_cache + margin <= d.free
            for d in self.devices
            if d.layers
        )


def estimate_memory(
    info: GGUFInfo,
    config: LoadConfig | None = None,
    devices: Sequence[Device] = (),
    *,
    split: Sequence[float] | None = None,
    host_free: int | None = None,
    available: int | None = None,
) -> MemoryEstimate:
    """Estimate the bytes that a load needs on each device.

    CPU loads were checked against the buffer lines of llama.cpp b11434. GPU loads follow
    llama.cpp's code (layer split, tied output weights on both sides, copies of inputs between
    devices) and have not been checked against a GPU. Not counted: the driver's own context
    (about 100 MB per GPU), projectors, draft models and LoRA adapters. Builds from before
    2026-08 also keep the logits of a whole batch (vocabulary times ``-ub`` times 4 bytes).

    Args:
        info: facts of the whole model (``read_model``).
        config: options of the load; default: ``LoadConfig()``.
        devices: GPUs; empty for a load on the CPU.
        split: share of each GPU (``--tensor-split``); default: by free memory, as llama.cpp does.
        host_free: free memory of the host in bytes; ``None`` if unknown.
        available: bytes of host memory from which ``prompt_cache="auto"`` takes its share;
            default: ``host_free``, or what is free on a unified device.

    Raises:
        ConfigError: a cache type is unknown, ``split`` does not fit ``devices``, or the file is
            no model or lacks the number of layers or the embedding length.
    """
    config = config or LoadConfig()
    _check(info, config)
    ubatch = min(config.ubatch_size or _UBATCH, config.batch_size or _BATCH)
    cells = cells_of(info, config, ubatch)
    batch = _batch(info, config, cells, ubatch)
    layers = (info.layers or 0) + 1
    on_gpu = config.layers_on_gpu(layers) if devices else 0
    places = _places(layers, on_gpu, devices, split)
    weights = _weights(info, places, len(devices))
    cache = [0] * (len(devices) + 1)
    for place, size in zip(places, cache_bytes(info, config, cells), strict=False):
        cache[place] += size
    compute = _compute(info, batch, places, len(devices))
    cached = _prompt_cache(
        info, config, devices, on_gpu, host_free if available is None else available
    )
    found = [
        DeviceMemory(
            name=device.name,
            layers=places.count(number),
            weights=weights[number],
            kv_cache=cache[number],
            compute=compute[number],
            free=device.free,
            prompt_cache=cached[number],
        )
        for number, device in enumerate(devices)
    ]
    host = DeviceMemory(
        name=HOST,
        layers=places.count(len(devices)),
        weights=weights[-1],
        kv_cache=cache[-1],
        compute=compute[-1],
        output=(info.vocabulary or 0) * cells.slots * _FLOAT,
        free=host_free,
        prompt_cache=cached[-1],
    )
    return MemoryEstimate(
        devices=(*found, host),
        context_len=cells.context,
        parallel=cells.slots,
        shared=config.parallel is None,
        gpu_layers=on_gpu,
        layers=layers,
    )


def _prompt_cache(
    info: GGUFInfo,
    config: LoadConfig,
    devices: Sequence[Device],
    on_gpu: int,
    available: int | None,
) -> list[int]:
    unified = [number for number, device in enumerate(devices) if device.unified]
    if available is None and unified:
        available = devices[unified[0]].free
    sizes = [0] * (len(devices) + 1)
    beside_model = not on_gpu or bool(unified)
    place = unified[0] if unified else len(devices)
    sizes[place] = prompt_cache_bytes(info, config, available, beside_model=beside_model)
    return sizes


def _check(info: GGUFInfo, config: LoadConfig) -> None:
    for name in ("cache_type_k", "cache_type_v"):
        kind = getattr(config, name)
        if kind is not None and kind not in CACHE_TYPES:
            raise ConfigError(f"{name} must be one of {', '.join(CACHE_TYPES)}, not {kind!r}")
    missing = [name for name in ("layers", "embedding_length") if not getattr(info, name)]
    if info.kind != "model" or missing:
        what = f"is a {info.kind}" if info.kind != "model" else f"does not say {missing[0]}"
        raise ConfigError(f"{info.path} {what}: no model whose memory could be estimated")


def _batch(info: GGUFInfo, config: LoadConfig, cells: Cells, ubatch: int) -> Batch:
    asked = (config.context_len or cells.context) * cells.streams
    tokens = min(asked, ubatch)
    return Batch(
        tokens=tokens,
        outputs=min(cells.slots, tokens),
        cells=(cells.context, cells.window) if cells.window else (cells.context,),
        flash=config.flash_attn is not False,
        rotated=_rotation(info.key_length, config.cache_type_k, 64)
        + _rotation(info.value_length, config.cache_type_v, 1),
        cast=_cast(info, config, cells),
    )


def _cast(info: GGUFInfo, config: LoadConfig, cells: Cells) -> int:
    half = 2 * (info.kv_heads or 0) * cells.context * cells.streams
    keys = (info.key_length or 0) if config.cache_type_k == "f32" else 0
    return half * (keys + ((info.value_length or 0) if config.cache_type_v == "f32" else 0))


def _rotation(length: int | None, kind: str | None, most: int) -> int:
    # llama.cpp rotates quantized keys and values with a matrix of 64 by 64; keys with the largest
    # power of two that divides the head, up to 4,096.
    if not length or length % 64 or kind in (None, "f32", "f16", "bf16"):
        return 0
    size = 64
    while length % (2 * size) == 0 and size < 64 * most:
        size *= 2
    return size * size * _FLOAT


def _places(
    layers: int, on_gpu: int, devices: Sequence[Device], split: Sequence[float] | None
) -> tuple[int, ...]:
    """Return the device index of each block and of the output layer; the host is the last."""
    host = len(devices)
    if not on_gpu:
        return (host,) * layers
    shares = [float(share) for share in split or [device.free for device in devices]]
    if len(shares) != host or min(shares) < 0 or not sum(shares):
        raise ConfigError(f"give one share per GPU ({host}), not all of them 0")
    limits = [part / sum(shares) for part in accumulate(shares)]
    start = layers - on_gpu
    return (host,) * start + tuple(
        min(bisect.bisect_right(limits, number / on_gpu), host - 1) for number in range(on_gpu)
    )


def _weights(info: GGUFInfo, places: Sequence[int], host: int) -> list[int]:
    sizes = [0] * (host + 1)
    if not host:
        sizes[0] = sum(_repacked(tensor) for tensor in info.tensors)
    output = "output.weight"
    named = {tensor.name for tensor in info.tensors}
    for tensor in info.tensors:
        size = tensor.nbytes or 0
        block = _BLOCK.match(tensor.name)
        if block:
            # Blocks beyond the count predict further tokens; they load with the output layer.
            sizes[places[min(int(block[1]), len(places) - 1)]] += size
        elif tensor.name.startswith("output"):
            sizes[places[-1]] += size
        else:
            sizes[host] += size
            if tensor.name == "token_embd.weight" and output not in named and places[-1] != host:
                sizes[places[-1]] += size  # tied: the GPU has its own copy
    return sizes


def _repacked(tensor: TensorInfo) -> int:
    matrix = len(tensor.shape) > 1 and tensor.name.startswith(("blk.", "output."))
    return (tensor.nbytes or 0) if matrix and tensor.type in _REPACKED else 0


def _compute(info: GGUFInfo, batch: Batch, places: Sequence[int], host: int) -> list[int]:
    sizes = [0] * (host + 1)
    peak = compute_bytes(info, batch)
    used = {place for place in places if place != host}
    # llama.cpp computes the host's layers of a large batch on the GPUs, copying one tensor at a
    # time.
    borrowed = max(
        (tensor.nbytes or 0 for tensor in info.tensors if tensor.name[:4] == "blk."), default=0
    )
    for place in used:
        sizes[place] = peak
        if len(used) > 1:
            sizes[place] += (_PIPELINE_COPIES - 1) * mask_bytes(batch)
        if host in places:
            sizes[place] += borrowed
    sizes[host] = peak if host in places else input_bytes(info, batch)
    return sizes
