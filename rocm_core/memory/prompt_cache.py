"""Bound the host memory in which llama-server keeps the state of earlier prompts.

llama-server (``tools/server/server-task.cpp``, ``server_prompt_cache``) copies a slot's part of the
KV cache into host memory before another prompt takes the slot, and with slots that share one KV
cache as soon as another request begins. Without a bound of ours it keeps up to 8 GiB of them
(``--cache-ram``), in addition to the KV cache itself.
"""

from __future__ import annotations

from dataclasses import replace

from rocm_core.config import LoadConfig
from rocm_core.gguf import GGUFInfo
from rocm_core.gguf.quantization import CACHE_TYPES
from rocm_core.memory.cache import cache_bytes, cells_of

_MIB = 1 << 20
# Prompts that fill their context: the server has 4 slots unless told otherwise, so three more
# conversations can wait for each of them.
_PROMPTS = 16
_LEAST, _MOST = 64 * _MIB, 4096 * _MIB
# Shares of the available memory. Where the model is in host memory as well, what was available
# before it was loaded has to hold both, so the cache takes half as much.
_SHARE, _SHARE_BESIDE_MODEL = 8, 16
# Where the system does not say what is available: half of a small machine.
_UNKNOWN = 4096 * _MIB
_UBATCH = 512


def prompt_cache_bytes(
    info: GGUFInfo | None, config: LoadConfig, available: int | None, *, beside_model: bool
) -> int:
    """Return the bytes that the prompt cache may take, a whole number of MiB; 0: it is off.

    ``prompt_cache="auto"`` is room for 16 prompts that fill their context (at least 64 MiB), but
    no more than 1/8 of the available memory, or 1/16 beside the model, and never more than 4 GiB.

    Args:
        info: facts of the model; ``None`` or incomplete: only the memory decides.
        config: ``prompt_cache``, and what decides how large a prompt's state is.
        available: bytes of host memory that are available before the model is loaded; ``None``
            if unknown, which counts as 4 GiB.
        beside_model: whether the model is in host memory too: on the CPU, or on an APU.
    """
    if config.prompt_cache != "auto":
        return int(config.prompt_cache) // _MIB * _MIB
    share = _SHARE_BESIDE_MODEL if beside_model else _SHARE
    most = min(_MOST, (_UNKNOWN if available is None else available) // share)
    if wanted := _PROMPTS * _state_bytes(info, config):
        most = min(most, max(wanted, _LEAST))
    return most // _MIB * _MIB


def _state_bytes(info: GGUFInfo | None, config: LoadConfig) -> int:
    """Return the bytes of a prompt that fills its context; 0 if they cannot be computed."""
    types = {config.cache_type_k or "f16", config.cache_type_v or "f16"}
    if info is None or not info.layers or not types <= set(CACHE_TYPES):
        return 0
    alone = replace(config, parallel=1)
    return sum(cache_bytes(info, alone, cells_of(info, alone, config.ubatch_size or _UBATCH)))
