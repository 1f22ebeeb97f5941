"""An estimate as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rocm_core.display.report import Table
from rocm_core.display.table import size

if TYPE_CHECKING:
    from rocm_core.memory.estimate import MemoryEstimate

HEADS = ("", "layers", "weights", "KV cache", "compute", "beside", "total", "free")


def estimate_table(estimate: MemoryEstimate) -> Table:
    """Return title, headings and rows."""
    return _headline(estimate), HEADS, _rows(estimate)


def _headline(estimate: MemoryEstimate) -> str:
    """Return layers, slots and context in words."""
    shared = " that share one cache" if estimate.shared else ""
    slots = "1 slot" if estimate.parallel == 1 else f"{estimate.parallel} slots"
    return (
        f"{estimate.gpu_layers} of {estimate.layers} layers on GPUs, "
        f"{slots}{shared}, context length {estimate.context_len}: {size(estimate.total)}"
    )


def _rows(estimate: MemoryEstimate) -> Iterator[Sequence[object]]:
    """Yield the cells of each device."""
    for d in estimate.devices:
        beside = d.adapters + d.projector + d.draft
        parts = (d.weights, d.kv_cache, d.compute + d.output, beside, d.total)
        yield (d.name, d.layers, *map(size, parts), size(d.free))
