"""The largest context, the most layers or the most slots that fit the free memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from rocm_core.config import LoadConfig
from rocm_core.gguf import GGUFInfo
from rocm_core.memory.estimate import Device, MemoryEstimate, estimate_memory

Goal = Literal["context", "layers", "slots"]
_CONTEXT_STEP = 256
_MAX_SLOTS = 256


def fit_model(
    info: GGUFInfo,
    config: LoadConfig,
    devices: Sequence[Device],
    *,
    goal: Goal,
    margin: int,
) -> tuple[LoadConfig, MemoryEstimate]:
    """The largest ``config`` that leaves ``margin`` bytes free on every device.

    ``context`` raises ``context_len`` (up to ``config.context_len``, or the model's own),
    ``layers`` raises ``gpu_layers``, ``slots`` raises ``parallel``; all else stays. Where even
    the smallest does not fit, the smallest is returned, and ``estimate.fits(margin)`` is false.

    Args:
        devices: GPUs with their free memory.
        margin: bytes of each device to leave free.

    Raises:
        ConfigError: as ``estimate_memory``.
    """

    def reckoned(count: int) -> tuple[LoadConfig, MemoryEstimate]:
        chosen = _changed(config, goal, count)
        return chosen, estimate_memory(info, chosen, devices)

    def fits(count: int) -> bool:
        return reckoned(count)[1].fits(margin)

    least, most = _range(info, config, goal)
    if goal == "layers":
        # All layers can take less than all but one: none has to be borrowed for then.
        return reckoned(next((count for count in range(most, 0, -1) if fits(count)), 0))
    return reckoned(_largest(least, most, fits))


def _range(info: GGUFInfo, config: LoadConfig, goal: Goal) -> tuple[int, int]:
    if goal == "context":
        most = config.context_len or info.context_length or _CONTEXT_STEP
        return 1, max(most // _CONTEXT_STEP, 1)
    if goal == "layers":
        return 0, (info.layers or 0) + 1
    return 1, _MAX_SLOTS


def _changed(config: LoadConfig, goal: Goal, count: int) -> LoadConfig:
    if goal == "context":
        return replace(config, context_len=count * _CONTEXT_STEP)
    if goal == "layers":
        return replace(config, gpu_layers=count)
    return replace(config, parallel=count)


def _largest(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """By bisection: memory only grows with contexts and slots."""
    while least < most:
        middle = (least + most + 1) // 2
        if fits(middle):
            least = middle
        else:
            most = middle - 1
    return least
