"""The result of a benchmark. Plain data."""

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
        test: llama-bench's name: ``pp512``, ``tg128 @ d4096``; and ours: ``ttft512``,
            ``tg128 x 4`` for the tokens of four streams together.
        unit: of the samples: tokens per second, or milliseconds.
        samples: one per repetition.
        kind: ``pp`` (prefill), ``tg`` (decode), ``ttft`` (first token) or ``streams``.
        at: the depth in tokens; for ``streams`` their number.
    """

    test: str
    unit: Unit
    samples: Sequence[float]
    kind: Literal["pp", "tg", "ttft", "streams"]
    at: int

    @property
    def median(self) -> float:
        """Median of the samples."""
        return median(self.samples)

    @property
    def spread(self) -> float:
        """Standard deviation of the samples; 0 for a single sample."""
        return stdev(self.samples) if len(self.samples) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class BenchResult:
    """The result of one run.

    Attributes:
        model: the model's name.
        build: llama.cpp's build.
        context_len: tokens of one slot.
        slots: slots of the server.
        rows: the measures.
        gpus: of each GPU its ``name``, and under load ``vram_used`` in bytes and
            ``power_watts``, ``None`` if unknown; empty without a GPU.
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
        """Return every field, and each row's median and spread, for JSON."""
        rows = [{**asdict(row), "median": row.median, "spread": row.spread} for row in self.rows]
        return {**asdict(self), "rows": rows}
