"""Wait until the VRAM of a dead GPU process is free again.

The driver frees it a moment after the process is reaped; a load that starts before that fails
for lack of memory or moves layers to the CPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from rocm_core.gpu import list_gpus

# Other programs come and go meanwhile: this much more than before is as good as before.
_TOLERANCE_BYTES = 256 * 2**20
_POLL = 0.25
_TIMEOUT = 5.0

VramUsed = Callable[[], int | None]


def vram_used(root: str | os.PathLike[str] = "/") -> int | None:
    """Bytes of VRAM in use on all cards with memory of their own.

    ``None`` without such a card: an APU computes in unified memory, which needs no waiting.
    """
    gpus = list_gpus(root)
    used = [g.vram_used for g in gpus if g.integrated is False and g.vram_used is not None]
    return sum(used) if used else None


class VramMark:
    """How much was in use before the first start, and the way back to it."""

    def __init__(self, read: VramUsed, timeout: float = _TIMEOUT) -> None:
        """Args:
        read: bytes in use now; ``None`` where there is nothing to wait for.
        timeout: seconds that ``await_return`` takes at most.
        """
        self._read = read
        self._patience = timeout
        self._before: int | None = None

    def set(self) -> None:
        """This is how much is in use without the process."""
        self._before = self._read()

    def await_return(self, pause: Callable[[float], object]) -> bool:
        """Wait until no more is used than at the mark.

        Args:
            pause: waits for so many seconds; may raise to call the waiting off.

        Returns:
            Whether the memory came back.
        """
        if self._before is None:
            return True
        end = time.monotonic() + self._patience
        while True:
            used = self._read()
            if used is None or used <= self._before + _TOLERANCE_BYTES:
                return True
            if time.monotonic() >= end:
                return False
            pause(_POLL)
