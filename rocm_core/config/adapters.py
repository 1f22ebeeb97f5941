"""``lora``: files, each with a scale."""

from __future__ import annotations

import re
from pathlib import Path

# path:scale; what follows the colon is a number.
_SCALED = r"(.+):([-+]?(?:\d+\.?\d*|\.\d+))"


def scaled_path(value: str | Path) -> tuple[str, float]:
    """Return path and scale of ``path[:scale]``; a ``Path`` object has no scale."""
    found = re.fullmatch(_SCALED, value, re.DOTALL) if isinstance(value, str) else None
    path, scale = (found[1], float(found[2])) if found else (value, 1.0)
    return str(Path(path).expanduser()), scale
