"""Find the largest load that fits the free memory: context, layers, experts on GPUs, or slots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from rocm_core.config import LoadConfig
from rocm_core.gguf import GGUFInfo
from rocm_core.memory.estimate import Companions, Device, MemoryEstimate, estimate_memory

Goal = Literal["context", "layers", "experts", "slots"]
_CONTEXT_STEP = 256
_MAX_SLOTS = 256


class FittedLoad(NamedTuple):
    """The largest load that fits: a pair, which a notebook shows as a table.

    Attributes:
        config: the options, ready for ``load_model``.
        estimate: the memory that they take.
    """

    config: LoadConfig
    estimate: MemoryEstimate

    def _repr_html_(self) -> str:
        return self.estimate._repr_html_()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        self.estimate._repr_pretty_(printer, cycle)


def fit_model(
    info: GGUFInfo,
    config: LoadConfig,
    devices: Sequence[Device],
    *,
    goal: Goal,
    margin: int,
    available: int | None = None,
    companions: Companions | None = None,
) -> FittedLoad:
    """Find the largest ``config`` that leaves ``margin`` bytes free on every device.

    Args:
        info: facts of the whole model (``read_model``).
        config: the other options; with goal ``context``, its ``context_len`` is the upper limit.
        devices: GPUs with their free memory.
        goal: ``context`` raises ``context_len`` in steps of 256, up to the limit or the model's
            own; ``layers`` raises ``gpu_layers``; ``experts`` finds the smallest ``n_cpu_moe`` with
            which every layer goes to a GPU, and beyond that the most layers; ``slots`` raises
            ``parallel``, up to 256.
        margin: bytes of each device to leave free.
        available: as for ``estimate_memory``.
        companions: as for ``estimate_memory``.

    Returns:
        The config and its estimate. If not even the smallest fits, the smallest, and
        ``estimate.fits(margin)`` is false.

    Raises:
        ConfigError: as ``estimate_memory``.
    """

    def reckoned(count: int) -> FittedLoad:
        chosen = _changed(config, goal, count)
        estimate = estimate_memory(
            info, chosen, devices, available=available, companions=companions
        )
        return FittedLoad(chosen, estimate)

    def fits(count: int) -> bool:
        return reckoned(count)[1].fits(margin)

    least, most = _range(info, config, goal)
    if goal == "experts":
        # The experts are most of such a model and each token uses few of them, so the CPU computes
        # them alone, while attention and its cache stay on the GPU.
        count = next((count for count in range(most + 1) if fits(count)), None)
        if count is not None:
            return reckoned(count)
        config, goal, most = replace(config, n_cpu_moe=most), "layers", most + 1
    if goal == "layers":
        # All layers can need less than all but one: then no GPU computes for the host. So every
        # count is tried, from the largest.
        return reckoned(next((count for count in range(most, 0, -1) if fits(count)), 0))
    return reckoned(_largest(least, most, fits))


def _range(info: GGUFInfo, config: LoadConfig, goal: Goal) -> tuple[int, int]:
    if goal == "context":
        most = config.context_len or info.context_length or _CONTEXT_STEP
        return 1, max(most // _CONTEXT_STEP, 1)
    if goal == "layers":
        return 0, (info.layers or 0) + 1
    if goal == "experts":
        return 0, info.layers or 0
    return 1, _MAX_SLOTS


def _changed(config: LoadConfig, goal: Goal, count: int) -> LoadConfig:
    if goal == "context":
        return replace(config, context_len=count * _CONTEXT_STEP)
    if goal == "layers":
        return replace(config, gpu_layers=count)
    if goal == "experts":
        return replace(config, n_cpu_moe=count or None)
    return replace(config, parallel=count)


def _largest(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest count that fits, by bisection: memory grows with contexts and slots."""
    while least < most:
        middle = (least + most + 1) // 2
        if fits(middle):
            least = middle
        else:
            most = middle - 1
    return least
