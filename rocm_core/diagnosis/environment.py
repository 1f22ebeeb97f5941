"""Variables of a process as the cause of a GPU that is not seen, or not understood. Pure.

A log alone cannot tell: an empty mask and a missing driver print the same line. So a rule counts
only beside a line that such a variable can cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import NamedTuple

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_MASKS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_UNSEEN = {
    "no_rocm_device",
    "no_usable_gpu",
    "probe_crashed",
    "vulkan_no_devices",
    "no_rocm_library",
}
_MISUNDERSTOOD = {
    "no_code_object",
    "no_rocblas_kernels",
    "no_kernel_image",
    "invalid_kernel_image",
    "invalid_device_function",
    "gpu_page_fault",
    "gpu_hang",
    "gpu_reset",
    "blas_failed",
    "illegal_memory_access",
    "gpu_not_supported",
}


# Errors that a value which is no version can be the cause of, beside those above.
_FAILED = {"gpu_error", "memory_unknown", "check_failed", "crashed"}


class Suspect(NamedTuple):
    """A variable that explains what a log shows.

    Attributes:
        name: kind of the failure.
        cause: what the variable does.
        remedy: what to do.
        evidence: ``NAME=value``.
    """

    name: str
    cause: str
    remedy: str
    evidence: str


def suspects(
    environment: Mapping[str, str], found: Set[str], *, crashed: bool
) -> Iterator[Suspect]:
    """Yield the variables that can be the cause, the surest first.

    Args:
        environment: variables of the process.
        found: names of the rows that its log shows.
        crashed: whether it was ended by a signal that its log does not explain.
    """
    unseen, misunderstood = bool(found & _UNSEEN), bool(found & _MISUNDERSTOOD)
    failed = unseen or misunderstood or crashed
    for name, value in environment.items():
        if name.startswith("HSA_OVERRIDE_GFX_VERSION") and (failed or found & _FAILED):
            yield from _override(name, value, misunderstood or crashed)
    if unseen:
        yield from _masks(environment, found)


def _override(name: str, value: str, misunderstood: bool) -> Iterator[Suspect]:
    shown = f"{name}={value}"
    if value and not _VERSION.fullmatch(value):
        quoted = " (the quotes are part of it)" if value[0] in "\"'" else ""
        yield Suspect(
            "bad_gfx_override",
            f"{shown} is not of the form major.minor.step{quoted}",
            "unset it, or write it like 10.3.0, without quotes",
            shown,
        )
    elif value and misunderstood:
        yield Suspect(
            "wrong_gfx_override",
            f"{shown} makes ROCm take the GPU for another one, and code for that one fails on it",
            f"unset {name}: builds with ROCm 7 have code for nearly every card; else set it to a "
            "GPU of the same generation (10.3.0 for gfx103x, 11.0.0 for gfx110x)",
            shown,
        )


def _masks(environment: Mapping[str, str], found: Set[str]) -> Iterator[Suspect]:
    vulkan = found & {"vulkan_no_devices"}
    names = ("GGML_VK_VISIBLE_DEVICES",) if vulkan else _MASKS
    for name in names:
        value = environment.get(name)
        if value is None:
            continue
        shown = f"{name}={value}"
        if value.strip("\"' ") in ("", "-1"):
            if name == "HIP_VISIBLE_DEVICES" and not value:
                continue  # HIP ignores an empty one
            cause = f"{shown} hides every GPU from the process"
        elif value[0] in "\"'":
            cause = f"{shown} names no GPU: the quotes are part of it"
        elif name != "ROCR_VISIBLE_DEVICES" and environment.get("ROCR_VISIBLE_DEVICES"):
            cause = (
                f"{shown} counts among the GPUs that ROCR_VISIBLE_DEVICES leaves, and finds none"
            )
        else:
            cause = f"{shown} names no GPU that is there"
        yield Suspect(
            "gpus_hidden",
            cause,
            f"unset {name}, or choose GPUs with devices=; llama-rocm doctor shows which there are",
            shown,
        )
