"""Wait until the VRAM of a dead GPU process is free again.

The driver frees it a moment after the process is reaped; a load that starts before that fails
for lack of memory or moves layers to the CPU. Reads ``mem_info_vram_used`` and
``mem_info_vram_total`` of the ``amdgpu`` driver (Linux ``amdgpu_vram_mgr.c``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

# Other programs come and go meanwhile: this much more than before is as good as before.
_TOLERANCE_BYTES = 256 * 2**20
_POLL = 0.25
_PATIENCE = 5.0

VramUsed = Callable[[], int | None]


def vram_used(root: str | os.PathLike[str] = "/") -> int | None:
    """Bytes of VRAM in use on all cards with memory of their own.

    ``None`` without such a card: an APU computes in unified memory, which needs no waiting.
    It is told by its GTT, which is several times its VRAM carve-out.
    """
    used = [
        bytes_used
        for device in sorted(Path(root).glob("sys/class/drm/card*/device"))
        if (bytes_used := _used_of(device)) is not None
    ]
    return sum(used) if used else None


def _used_of(device: Path) -> int | None:
    total, used, shared = (
        _number(device / f"mem_info_{name}") for name in ("vram_total", "vram_used", "gtt_total")
    )
    if total is None or used is None:
        return None
    if shared is not None and total <= 4 * 2**30 and shared >= 4 * total:
        return None
    return used


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def await_vram(
    mark: int | None,
    read: VramUsed,
    pause: Callable[[float], object],
    patience: float = _PATIENCE,
) -> bool:
    """Wait, at most ``patience`` seconds, until no more VRAM is used than at ``mark``.

    Args:
        mark: bytes in use before the process was started; ``None``: nothing to wait for.
        read: bytes in use now.
        pause: waits for so many seconds; may raise to call the waiting off.

    Returns:
        Whether the memory came back.
    """
    if mark is None:
        return True
    end = time.monotonic() + patience
    while True:
        used = read()
        if used is None or used <= mark + _TOLERANCE_BYTES:
            return True
        if time.monotonic() >= end:
            return False
        pause(_POLL)
