"""Estimate weights, KV cache and compute buffers on every device that a load uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rocm_core.config import ALL_LAYERS, LoadConfig
from rocm_core.display.report import ShownAsTable, Table
from rocm_core.errors import ConfigError
from rocm_core.gguf import GGUFInfo
from rocm_core.gguf.quantization import CACHE_TYPES
from rocm_core.memory.cache import Cells, cache_bytes, cells_of
from rocm_core.memory.companions import adapter_places, projector_bytes
from rocm_core.memory.compute import Batch, compute_bytes, device_bytes, host_bytes
from rocm_core.memory.placement import layer_places, repacked_bytes, weight_places
from rocm_core.memory.prompt_cache import prompt_cache_bytes
from rocm_core.memory.shown import estimate_table

HOST = "CPU"
# llama-server's defaults: -b and -ub (common/common.h).
_BATCH, _UBATCH = 2048, 512
# With several GPUs, batches overlap, and each batch has its own inputs (GGML_SCHED_MAX_COPIES).
_PIPELINE_COPIES = 4
_FLOAT = 4


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
        adapters: bytes of LoRA adapters.
        projector: bytes of the projector and of one picture on its way through it.
        draft: bytes of the draft model: its weights, KV cache, compute and output.
        unified: whether the device's memory is the host's.
    """

    name: str
    layers: int
    weights: int
    kv_cache: int
    compute: int
    output: int = 0
    free: int | None = None
    prompt_cache: int = 0
    adapters: int = 0
    projector: int = 0
    draft: int = 0
    unified: bool = False

    @property
    def total(self) -> int:
        """Bytes once the model is loaded, so without ``prompt_cache``."""
        model = self.weights + self.kv_cache + self.compute + self.output
        return model + self.adapters + self.projector + self.draft


@dataclass(frozen=True, slots=True, repr=False)
class MemoryEstimate(ShownAsTable):
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

    def _table(self) -> Table:
        return estimate_table(self)

    def fits(self, margin: int = 0) -> bool:
        """Return whether every device keeps ``margin`` bytes free, its prompt cache filled.

        Devices without layers, or with unknown free memory, do not count. Devices whose memory is
        the host's hold what the host needs too.
        """
        shared = sum(
            d.total + d.prompt_cache for d in self.devices if d.unified or d is self.devices[-1]
        )
        return all(
            d.free is None or (shared if d.unified else d.total + d.prompt_cache) + margin <= d.free
            for d in self.devices
            if d.layers
        )


@dataclass(frozen=True, slots=True)
class Companions:
    """Facts of the files that are loaded beside a model (``read_gguf``, ``read_model``).

    Attributes:
        projector: of ``mmproj``.
        draft: of ``draft_model``.
        adapters: of ``lora``.
    """

    projector: GGUFInfo | None = None
    draft: GGUFInfo | None = None
    adapters: tuple[GGUFInfo, ...] = ()


def estimate_memory(
    info: GGUFInfo,
    config: LoadConfig | None = None,
    devices: Sequence[Device] = (),
    *,
    split: Sequence[float] | None = None,
    host_free: int | None = None,
    available: int | None = None,
    companions: Companions | None = None,
) -> MemoryEstimate:
    """Estimate the bytes that a load needs on each device.

    CPU loads were checked against the buffer lines of llama.cpp b11434, loads on one and two GPUs
    (split by layers) against those of the Vulkan back end of b10434; HIP and other splits follow
    the same rules and were not checked. Not counted: the driver's own context (about 100 MB per
    GPU). Builds from before 2026-08 also keep the logits of a whole batch (vocabulary times
    ``-ub`` times 4 bytes).

    Args:
        info: facts of the whole model (``read_model``).
        config: options of the load; default: ``LoadConfig()``.
        devices: GPUs; empty for a load on the CPU.
        split: share of each GPU (``--tensor-split``); default: ``config.tensor_split``, else by
            free memory, as llama.cpp does.
        host_free: free memory of the host in bytes; ``None`` if unknown.
        available: bytes of host memory from which ``prompt_cache="auto"`` takes its share;
            default: ``host_free``, or what is free on a unified device.
        companions: facts of projector, draft model and adapters; those that are left out do not
            count, whatever ``config`` names.

    Raises:
        ConfigError: a cache type is unknown, ``split`` does not fit ``devices``, a rule of
            ``override_tensor`` is no regular expression, or the file is no model or lacks the
            number of layers or the embedding length.
    """
    config, beside = config or LoadConfig(), companions or Companions()
    _check(info, config)
    load = _load(info, config, devices, split or config.tensor_split or None)
    found = _Sizes(len(devices) + 1)
    _add_model(found, load)
    _add_companions(found, load, beside, split)
    if available is None:
        available = host_free
    _add_prompt_cache(found, load, available)
    free = [*(device.free for device in devices), host_free]
    names = [*(device.name for device in devices), HOST]
    return MemoryEstimate(
        devices=tuple(
            DeviceMemory(
                name=names[n],
                layers=load.places.count(n),
                free=free[n],
                unified=n < len(devices) and devices[n].unified,
                **{name: sizes[n] for name, sizes in found.by_name.items()},
            )
            for n in range(len(names))
        ),
        context_len=load.cells.context,
        parallel=load.cells.slots,
        shared=load.cells.streams == 1 and (config.parallel is None or load.cells.slots > 1),
        gpu_layers=load.on_gpu,
        layers=len(load.places),
    )


@dataclass(frozen=True, slots=True)
class _Load:
    """What is where: the device of each layer, the last number being the host's."""

    info: GGUFInfo
    config: LoadConfig
    devices: Sequence[Device]
    cells: Cells
    batch: Batch
    caches: tuple[int, ...]
    on_gpu: int
    places: tuple[int, ...]

    @property
    def host(self) -> int:
        return len(self.devices)

    @property
    def names(self) -> list[str]:
        return [device.name for device in self.devices]


@dataclass(slots=True)
class _Sizes:
    """Bytes by kind, and in each kind by device."""

    number: int
    by_name: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, place: int, size: int) -> None:
        self.by_name.setdefault(name, [0] * self.number)[place] += size


def _load(
    info: GGUFInfo, config: LoadConfig, devices: Sequence[Device], split: Sequence[float] | None
) -> _Load:
    ubatch = min(config.ubatch_size or _UBATCH, config.batch_size or _BATCH)
    cells = cells_of(info, config, ubatch)
    caches = cache_bytes(info, config, cells)
    layers = (info.layers or 0) + 1
    on_gpu = config.layers_on_gpu(layers) if devices else 0
    if config.split_mode == "none" and devices:
        chosen = min(config.main_gpu or 0, len(devices) - 1)
        split = [float(number == chosen) for number in range(len(devices))]
    places = layer_places(layers, on_gpu, [device.free for device in devices], split)
    batch = _batch(info, config, cells, ubatch, max(caches, default=0))
    return _Load(info, config, devices, cells, batch, caches, on_gpu, places)


def _add_model(found: _Sizes, load: _Load) -> None:
    for name in ("weights", "kv_cache", "compute", "output"):
        found.add(name, load.host, 0)
    borrowed = 0
    for tensor, place in weight_places(load.info, load.config, load.places, load.names):
        found.add("weights", place, tensor.nbytes or 0)
        if place == load.host and tensor.name.startswith("blk."):
            borrowed = max(borrowed, tensor.nbytes or 0)
    for place, size in zip(load.places, load.caches, strict=False):
        found.add("kv_cache", place, size)
    found.add("output", load.host, (load.info.vocabulary or 0) * load.cells.slots * _FLOAT)
    if not load.devices:
        found.add("weights", load.host, repacked_bytes(load.info))
        found.add("compute", load.host, compute_bytes(load.info, load.batch))
        return
    copies, on_host = _copies(load), load.host in load.places[:-1]
    blocks = load.places[:-1]
    for place in range(load.host):
        # llama.cpp computes what the host holds of a large batch on the first GPU, copying one
        # weight and one layer's cache at a time (ggml_backend_sched, op_offload).
        first = place == 0 and bool(borrowed)
        if place not in load.places and not first:
            continue
        own = blocks.count(place) + (blocks.count(load.host) if first else 0)
        size = device_bytes(
            load.info,
            load.batch,
            blocks=own,
            last_only=own == 1 and blocks[-1] == place,
            copies=copies,
            borrowed=borrowed if first else 0,
            caches=first and on_host,
        )
        found.add("compute", place, size)
    found.add(
        "compute", load.host, host_bytes(load.info, load.batch, copies=copies, caches=on_host)
    )


def _copies(load: _Load) -> int:
    # ``pipeline_parallel`` in llama.cpp src/llama-context.cpp.
    config = load.config
    overridden = config.n_cpu_moe or config.n_cpu_ffn or config.override_tensor
    whole = load.on_gpu == len(load.places) and config.split_mode in (None, "layer")
    return _PIPELINE_COPIES if load.host > 1 and whole and not overridden else 1


def _add_companions(
    found: _Sizes, load: _Load, beside: Companions, split: Sequence[float] | None
) -> None:
    if beside.projector is not None:
        place = _projector_place(load)
        there, on_host = projector_bytes(beside.projector, on_gpu=place != load.host)
        found.add("projector", place, there)
        found.add("projector", load.host, on_host)
    if beside.adapters:
        weights = weight_places(load.info, load.config, load.places, load.names)
        homes = {tensor.name: place for tensor, place in weights}
        for adapter in beside.adapters:
            for place, size in adapter_places(adapter, homes, load.host).items():
                found.add("adapters", place, size)
    if beside.draft is not None:
        # It has the model's context and slots; all of it goes to the GPUs (-ngld, common/arg.cpp),
        # its cache is not quantized (-ctkd), and the prompt cache is the model's.
        config = replace(
            load.config,
            gpu_layers=ALL_LAYERS,
            cache_type_k=None,
            cache_type_v=None,
            n_cpu_moe=None,
            n_cpu_ffn=None,
            override_tensor=(),
            prompt_cache=0,
            context_len=load.config.context_len or load.info.context_length or 0,
        )
        draft = estimate_memory(beside.draft, config, load.devices, split=split)
        for number, device in enumerate(draft.devices):
            found.add("draft", number, device.total)


def _projector_place(load: _Load) -> int:
    wanted = load.config.mmproj_device
    if wanted == "none" or not load.devices:
        return load.host
    return load.names.index(wanted) if wanted in load.names else 0


def _add_prompt_cache(found: _Sizes, load: _Load, available: int | None) -> None:
    unified = [number for number, device in enumerate(load.devices) if device.unified]
    if available is None and unified:
        available = load.devices[unified[0]].free
    beside_model = not load.on_gpu or bool(unified)
    size = prompt_cache_bytes(load.info, load.config, available, beside_model=beside_model)
    found.add("prompt_cache", unified[0] if unified else load.host, size)


def _check(info: GGUFInfo, config: LoadConfig) -> None:
    for name in ("cache_type_k", "cache_type_v"):
        kind = getattr(config, name)
        if kind is not None and kind not in CACHE_TYPES:
            raise ConfigError(f"{name} must be one of {', '.join(CACHE_TYPES)}, not {kind!r}")
    missing = [name for name in ("layers", "embedding_length") if not getattr(info, name)]
    if info.kind != "model" or missing:
        what = f"is a {info.kind}" if info.kind != "model" else f"does not say {missing[0]}"
        raise ConfigError(f"{info.path} {what}: no model whose memory could be estimated")


def _batch(
    info: GGUFInfo, config: LoadConfig, cells: Cells, ubatch: int, layer_cache: int
) -> Batch:
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
        value_row=(info.kv_heads or 0) * (info.value_length or 0),
        layer_cache=layer_cache,
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
