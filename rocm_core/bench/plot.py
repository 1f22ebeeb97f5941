"""Draw a result as a PNG. Needs matplotlib, which is not a dependency."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from rocm_core.bench.result import BenchResult
from rocm_core.errors import ConfigError

_PANELS = (
    ("pp", "prefill, tok/s", "tokens in the context"),
    ("tg", "decode, tok/s", "tokens in the context"),
    ("streams", "all streams together, tok/s", "streams at once"),
)


def require_matplotlib() -> Any:
    """Import matplotlib and return the module.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        return importlib.import_module("matplotlib")
    except ModuleNotFoundError as error:
        raise ConfigError("a plot needs matplotlib: pip install matplotlib") from error


def draw(result: BenchResult, path: Path) -> None:
    """Draw prefill, decode and streams, medians with their spread, into the PNG ``path``.

    Raises:
        ConfigError: matplotlib is not installed, or the file cannot be written.
    """
    require_matplotlib().use("agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(1, len(_PANELS), figsize=(12, 3.6), layout="constrained")
    for (kind, title, label), axis in zip(_PANELS, axes, strict=True):
        rows = [row for row in result.rows if row.kind == kind]
        axis.errorbar(
            [row.at for row in rows],
            [row.median for row in rows],
            yerr=[row.spread for row in rows],
            marker="o",
            capsize=3,
        )
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(label)
        axis.set_ylim(bottom=0)
    figure.suptitle(f"{result.model}, llama.cpp {result.build}", fontsize=10)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the plot cannot be written: {error}") from error
    finally:
        pyplot.close(figure)
