"""Lines that move, as SVG: no plotting library is needed, and every frontend draws it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from rocm_core.display.table import escape

LOOKS = 120
_WIDTH, _HEIGHT = 320, 70
_COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
_BOX = "display:inline-block;margin:0 1.5em 0.8em 0;vertical-align:top"

History = deque[float | None]


@dataclass
class Line:
    """One line of a panel.

    Attributes:
        name: what it shows.
        unit: of its values.
        top: the value at the upper edge; ``None``: the largest that was seen.
        values: one for each look, oldest first; ``None`` where nothing is known.
    """

    name: str
    unit: str
    top: float | None = None
    values: History = field(default_factory=lambda: deque(maxlen=LOOKS))

    @property
    def scale(self) -> float:
        """Return the value at the upper edge."""
        return self.top or max((value for value in self.values if value), default=1.0)

    @property
    def last(self) -> str:
        """Return the last value, with its unit."""
        value = self.values[-1] if self.values else None
        return "-" if value is None else f"{value:.0f} {self.unit}"


@dataclass
class Panel:
    """One GPU or one server.

    Attributes:
        title: its name.
        lines: what is drawn, each with a scale of its own.
        facts: what stands below.
    """

    title: str
    lines: Sequence[Line]
    facts: str = ""

    def html(self) -> str:
        """Return the panel as HTML."""
        colored = list(zip(self.lines, _COLORS, strict=False))
        drawn = "".join(_drawn(line.values, line.scale, color) for line, color in colored)
        legend = " &nbsp; ".join(
            f'<span style="color:{color}">&#9632;</span> {escape(line.name)} {escape(line.last)}'
            for line, color in colored
        )
        frame = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#9e9e9e"/>'
        return (
            f'<div style="{_BOX}"><b>{escape(self.title)}</b><br>'
            f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img">{frame}{drawn}</svg><br>'
            f"<small>{legend}<br>{escape(self.facts)}</small></div>"
        )

    def text(self) -> str:
        """Return the last values as a line of text."""
        now = ", ".join(f"{line.name} {line.last}" for line in self.lines)
        return f"{self.title}: {now}" + (f", {self.facts}" if self.facts else "")


def _drawn(values: Sequence[float | None], top: float, color: str) -> str:
    """Return one polyline for each run of known values; the newest look is at the right edge."""
    step, begin = _WIDTH / (LOOKS - 1), LOOKS - len(values)
    runs: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
            continue
        height = _HEIGHT - 2 - (_HEIGHT - 4) * min(1.0, value / top)
        runs[-1].append(f"{(begin + number) * step:.1f},{height:.1f}")
    return "".join(
        f'<polyline points="{" ".join(run if len(run) > 1 else run * 2)}" fill="none" '
        f'stroke="{color}" stroke-width="2" stroke-linecap="round"/>'
        for run in runs
        if run
    )
