"""Find the device of each layer and of each weight of a load.

Sources: llama.cpp ``src/llama-model.cpp`` (layers, tied weights), ``common/common.h`` (the patterns
of ``--n-cpu-moe`` and ``--n-cpu-ffn``), ``src/llama-model-loader.cpp`` (rules for single weights).
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

from rocm_core.config import LoadConfig
from rocm_core.errors import ConfigError
from rocm_core.gguf import GGUFInfo, TensorInfo

BLOCK = re.compile(r"^blk\.(\d+)\.")
# LLM_FFN_EXPS_REGEX and LLM_FFN_DENSE_REGEX.
_EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps")
_DENSE_FEED_FORWARD = re.compile(r"\.ffn_(up|down|gate)\.")
# ggml types whose matrices llama.cpp copies in another order for x86 CPUs with AVX2 (CPU_REPACK
# in the log; ggml/src/ggml-cpu/repack.cpp). It does not if a GPU's pinned host memory is used.
_REPACKED = frozenset({2, 12, 20, 39})  # q4_0, q4_K, iq4_nl, mxfp4


def layer_places(
    layers: int, on_gpu: int, free: Sequence[int], split: Sequence[float] | None
) -> tuple[int, ...]:
    """Return the device index of each block and of the output layer; the host is the last.

    Args:
        layers: blocks and output layer.
        on_gpu: how many of them, from the end, are on GPUs.
        free: free bytes of each GPU.
        split: share of each GPU; default: as ``free``.

    Raises:
        ConfigError: ``split`` has another length than ``free``, or nothing but zeros.
    """
    host = len(free)
    if not on_gpu:
        return (host,) * layers
    shares = [float(share) for share in split or free]
    if len(shares) != host or min(shares) < 0 or not sum(shares):
        raise ConfigError(f"give one share per GPU ({host}), not all of them 0")
    limits = [part / sum(shares) for part in accumulate(shares)]
    start = layers - on_gpu
    return (host,) * start + tuple(
        min(bisect.bisect_right(limits, number / on_gpu), host - 1) for number in range(on_gpu)
    )


def weight_places(
    info: GGUFInfo, config: LoadConfig, places: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[TensorInfo, int]]:
    """Yield each weight with its device; one that lies on two devices twice.

    Args:
        info: facts of the model.
        config: ``override_tensor``, ``n_cpu_moe`` and ``n_cpu_ffn``.
        places: from ``layer_places``.
        names: of the GPUs; a rule for any other buffer type means the host.

    Raises:
        ConfigError: a rule's pattern is no regular expression.
    """
    host, tied = len(names), "output.weight" not in {tensor.name for tensor in info.tensors}
    rules = _rules(config, names)
    for tensor in info.tensors:
        block = BLOCK.match(tensor.name)
        ruled = next((place for rule, place in rules if rule.search(tensor.name)), None)
        if ruled is not None:
            yield tensor, ruled
        elif block:
            yield tensor, _of_block(tensor, int(block[1]), config, places, host)
        elif tensor.name.startswith("output"):
            yield tensor, places[-1]
        else:
            yield tensor, host
            if tensor.name == "token_embd.weight" and tied and places[-1] != host:
                yield tensor, places[-1]  # the GPU has its own copy


def repacked_bytes(info: GGUFInfo) -> int:
    """Return the bytes of matrices that a load without GPUs has a second time, in another order."""
    return sum(
        tensor.nbytes or 0
        for tensor in info.tensors
        if len(tensor.shape) > 1
        and tensor.name.startswith(("blk.", "output."))
        and tensor.type in _REPACKED
    )


def _of_block(
    tensor: TensorInfo, number: int, config: LoadConfig, places: Sequence[int], host: int
) -> int:
    on_host = (config.n_cpu_moe and number < config.n_cpu_moe and _EXPERTS.search(tensor.name)) or (
        config.n_cpu_ffn and number < config.n_cpu_ffn and _DENSE_FEED_FORWARD.search(tensor.name)
    )
    # Blocks beyond the count predict further tokens; they load with the output layer.
    return host if on_host else places[min(number, len(places) - 1)]


def _rules(config: LoadConfig, names: Sequence[str]) -> list[tuple[re.Pattern[str], int]]:
    found = []
    for rule in config.override_tensor:
        pattern, _, buffer = rule.rpartition("=")
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"override_tensor {rule!r}: no regular expression: {error}") from None
        found.append((compiled, names.index(buffer) if buffer in names else len(names)))
    return found
