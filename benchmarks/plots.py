"""The sections as bars, in one PNG. Needs matplotlib, which comes with the extra ``bench``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.section import Section

_OURS = ("Rocm", "rocm", "Client", "TextModel", "StreamDecoder", "load_model", "Server.start")
_COLORS = {True: "#c8102e", False: "#9aa4ae"}
_ROW = 0.24


def draw(sections: Sequence[Section], path: Path) -> bool:
    """Write ``path``; whether matplotlib is there to do it."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        return False
    matplotlib.use("agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    shown = [section for section in sections if section.plotted and section.rows]
    if not shown:
        return False
    heights = [max(3, len(section.rows)) for section in shown]
    figure, axes = pyplot.subplots(
        len(shown),
        1,
        figsize=(10, _ROW * sum(heights) + 1.1 * len(shown)),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for section, axis in zip(shown, axes[:, 0], strict=True):
        _bars(section, axis)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def _bars(section: Section, axis: Any) -> None:
    rows = [row for row in reversed(section.rows) if row.get(section.plotted) is not None]
    values = [row[section.plotted] for row in rows]
    colors = [_COLORS[any(mark in row["name"] for mark in _OURS)] for row in rows]
    axis.barh([row["name"].strip("`") for row in rows], values, color=colors)
    axis.set_title(f"{section.title}: {section.columns[section.plotted]}", fontsize=9, loc="left")
    axis.tick_params(labelsize=7)
    low = min(values, default=0)
    if low > 0 and max(values) / low > 20:
        axis.set_xscale("log")
