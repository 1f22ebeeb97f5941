"""Compute the memory of what is loaded beside a model: projector, LoRA adapters.

(A draft model is a model: ``estimate`` takes it like one.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rocm_core.gguf import GGUFInfo

_FLOAT = 4
_CHANNELS = 3
_SUFFIXES = (".lora_a", ".lora_b")


def projector_bytes(info: GGUFInfo, *, on_gpu: bool) -> tuple[int, int]:
    """Return the bytes of a projector (mmproj) where it computes, and on the host beside a GPU.

    Weights, and the working set of one picture of the file's ``image_size`` as llama-server itself
    reckons it at the start (``[mtmd] estimated worst-case memory usage``; tools/mtmd/clip.cpp).
    Encoders that take pictures of any size may need more for larger ones.

    Args:
        info: facts of the projector's file.
        on_gpu: whether a GPU computes it (``mmproj_device``); the picture is then on both sides.
    """
    keys: Mapping[str, Any] = info.metadata
    size, patch, width, inner = (
        _whole(keys, f"clip.vision.{key}")
        for key in ("image_size", "patch_size", "embedding_length", "feed_forward_length")
    )
    patches = (size // patch) ** 2 if patch else 0
    picture = _CHANNELS * size * size * _FLOAT
    activations = patches * max(inner + width, 4 * width) * _FLOAT
    there = info.weights_size + activations + picture
    return there, picture if on_gpu else 0


def adapter_places(adapter: GGUFInfo, homes: Mapping[str, int], host: int) -> dict[int, int]:
    """Return the bytes of a LoRA adapter by device: each part lies where its weight does.

    Source: llama.cpp ``src/llama-adapter.cpp``.

    Args:
        adapter: facts of its file.
        homes: the device of each weight of the model, by name.
        host: the number of the host among the devices.
    """
    sizes: dict[int, int] = {}
    for tensor in adapter.tensors:
        name = tensor.name
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        place = homes.get(name, host)
        sizes[place] = sizes.get(place, 0) + (tensor.nbytes or 0)
    return sizes


def _whole(keys: Mapping[str, Any], key: str) -> int:
    value = keys.get(key)
    return value if type(value) is int else 0
