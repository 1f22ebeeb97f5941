"""What was measured. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, stdev
from typing import Any, Literal

Unit = Literal["tok/s", "ms"]


@dataclass(frozen=True, slots=True)
class Row:
    """One measure.

    Attributes:
        test: as llama-bench names it: ``pp512``, ``tg128 @ d4096``; ``ttft512``; ``tg128 x 4``
            for four streams at once, their tokens together.
        unit: of the samples: tokens per second, or milliseconds.
        samples: one per repetition.
        kind: ``pp``, ``tg``, ``ttft`` or ``streams``; ``at`` is its depth or number of streams.
    """

    test: str
    unit: Unit
    samples: Sequence[float]
    kind: Literal["pp", "tg", "ttft", "streams"]
    at: int

    @property
    def median(self) -> float:
        """The middle sample."""
        return median(self.samples)

    @property
    def spread(self) -> float:
        """Standard deviation of the samples; 0 for a single one."""
        return stdev(self.samples) if len(self.samples) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class BenchResult:
    """A whole run.

    Attributes:
        model, build, context_len, slots: of the server; ``context_len`` in tokens of a slot.
        rows: the measures.
        gpus: name, ``vram_used`` in bytes and ``power_watts`` under load of each GPU, where
            somebody tells; empty on a machine without one.
        notes: what could not be measured, and why.
    """

    model: str
    build: str
    context_len: int
    slots: int
    rows: Sequence[Row]
    gpus: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every field, and the median and spread of each row."""
        rows = [{**asdict(row), "median": row.median, "spread": row.spread} for row in self.rows]
        return {**asdict(self), "rows": rows}
