"""Compute the size of the KV cache: which layers have one, how wide, for how many tokens.

Source: llama.cpp ``src/llama-kv-cache.cpp``, ``llama-kv-cache-iswa.cpp`` and
``llama-hparams.cpp``.
"""

from __future__ import annotations

from dataclasses import dataclass

from rocm_core.config import LoadConfig
from rocm_core.gguf import GGUFInfo
from rocm_core.gguf.quantization import row_bytes

# llama-server's `-np auto`: 4 slots that share one KV cache (tools/server/server.cpp).
AUTO_SLOTS = 4
_CELLS_STEP = 256
# Architecture → n, where every n-th layer sees the whole context and the file does not say so
# (load_swa_pattern in llama.cpp src/models/*.cpp).
_PATTERNS = {"cohere2": 4, "exaone4": 4, "gemma2": 2, "gemma3": 6, "gpt-oss": 2, "llama4": 4}
_NO_CACHE = frozenset(
    {
        "bert",
        "dream",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llada",
        "llada-moe",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "wavtokenizer-dec",
    }
)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of the KV cache, each for one token.

    Attributes:
        slots: sequences at once.
        context: cells of one cache, as llama.cpp rounds them up.
        streams: separate caches; 1 if the slots share one.
        window: cells of a layer with a sliding window; 0 without such layers.
    """

    slots: int
    context: int
    streams: int
    window: int


def padded(count: int, step: int = _CELLS_STEP) -> int:
    """Round ``count`` up to a multiple of ``step``."""
    return -(-count // step) * step


def cells_of(info: GGUFInfo, config: LoadConfig, ubatch: int) -> Cells:
    """Return the cells that llama-server allocates for ``config``.

    Args:
        info: facts of the model.
        config: ``context_len``, ``parallel`` and ``kv_unified_per_slot``; unset, the model's
            context and 4 slots that share one cache.
        ubatch: tokens of the physical batch; a sliding window needs room for one more.
    """
    slots, per_slot = config.parallel or AUTO_SLOTS, config.kv_unified_per_slot
    shared = config.parallel is None or per_slot is not None
    whole = slots * per_slot if per_slot else info.context_length
    context = padded(config.context_len or whole or _CELLS_STEP)
    window = 0
    if any(sliding(info)):
        seen = (info.sliding_window or 0) * (slots if shared else 1)
        window = padded(min(context, seen + ubatch))
    return Cells(slots, context, 1 if shared else slots, window)


def sliding(info: GGUFInfo) -> tuple[bool, ...]:
    """Return for each layer whether it has a sliding window."""
    layers = info.layers or 0
    if not info.sliding_window:
        return (False,) * layers
    pattern = info.of_architecture("attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        return tuple(bool(v) for v in pattern[:layers]) + (False,) * (layers - len(pattern))
    every = pattern if type(pattern) is int else _PATTERNS.get(info.architecture or "", 1)
    return tuple(every > 1 and number % every < every - 1 for number in range(layers))


def cache_bytes(info: GGUFInfo, config: LoadConfig, cells: Cells) -> tuple[int, ...]:
    """Return the bytes of each layer's keys and values, or of its recurrent state.

    Args:
        info: facts of the model.
        config: ``cache_type_k`` and ``cache_type_v``; unset, ``f16``.
        cells: from ``cells_of``.
    """
    if info.architecture in _NO_CACHE or info.of_architecture("attention.causal") is False:
        return (0,) * (info.layers or 0)
    heads = info.per_layer("attention.head_count_kv", info.kv_heads or 0)
    recurrent = _recurrent(info, heads)
    with_cache = len(heads) - (info.of_architecture("attention.shared_kv_layers") or 0)
    return tuple(
        _state_bytes(info) * cells.slots
        if recurrent[number]
        else _layer_bytes(info, config, cells, heads[number], slides)
        if number < with_cache
        else 0
        for number, slides in enumerate(sliding(info))
    )


def _layer_bytes(info: GGUFInfo, config: LoadConfig, cells: Cells, heads: int, slides: bool) -> int:
    suffix = "_swa" if slides else ""
    key = info.of_architecture(f"attention.key_length{suffix}") or info.key_length or 0
    value = info.of_architecture(f"attention.value_length{suffix}") or info.value_length or 0
    if info.of_architecture("attention.key_length_mla"):
        value = 0  # multi-head latent attention: values are read from the keys
    row = row_bytes(config.cache_type_k or "f16", heads * key)
    row += row_bytes(config.cache_type_v or "f16", heads * value)
    return row * (cells.window if slides else cells.context) * cells.streams


def _recurrent(info: GGUFInfo, heads: tuple[int, ...]) -> tuple[bool, ...]:
    if info.of_architecture("ssm.state_size") is None:
        return (False,) * len(heads)
    interval = info.of_architecture("full_attention_interval")
    if type(interval) is int and interval > 0:
        return tuple((number + 1) % interval != 0 for number in range(len(heads)))
    return tuple(count == 0 for count in heads)


def _state_bytes(info: GGUFInfo) -> int:
    inner, state, kernel, groups = (
        info.of_architecture(f"ssm.{key}") or 0
        for key in ("inner_size", "state_size", "conv_kernel", "group_count")
    )
    convolution = max(kernel - 1, 0) * (inner + 2 * groups * state)
    return int(4 * (convolution + inner * state))
