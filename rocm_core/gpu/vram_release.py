"""Wait until the VRAM of a dead GPU process is free again.

The driver frees it a moment after the process is reaped; a load that starts before that fails
for lack of memory or moves layers to the CPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from rocm_core.gpu import list_gpus

# Other programs take memory meanwhile: up to this much more than before counts as free again.
_TOLERANCE_BYTES = 256 * 2**20
# Seconds.
_POLL = 0.25
_TIMEOUT = 5.0

VramUsed = Callable[[], int | None]
"""Returns the bytes of VRAM in use; ``None`` where there is no memory to wait for."""


def vram_used(root: str | os.PathLike[str] = "/") -> int | None:
    """Return the bytes of VRAM in use on all cards with memory of their own.

    ``None`` without such a card: an APU computes in unified memory, which needs no waiting.

    Args:
        root: directory that holds ``/sys``, for tests.
    """
    gpus = list_gpus(root)
    used = [g.vram_used for g in gpus if g.integrated is False and g.vram_used is not None]
    return sum(used) if used else None


class VramBaseline:
    """The VRAM in use before the first start, and the wait until no more is used than then."""

    def __init__(self, read: VramUsed, timeout: float = _TIMEOUT) -> None:
        """Args:
        read: reads the bytes in use.
        timeout: seconds that ``await_release`` takes at most.
        """
        self._read = read
        self._timeout = timeout
        self._before: int | None = None

    def record(self) -> None:
        """Take the bytes in use now as those in use without the server."""
        self._before = self._read()

    def await_release(self, pause: Callable[[float], object]) -> bool:
        """Wait until no more is in use than at ``record``; returns at once without one.

        Args:
            pause: waits for so many seconds; an exception that it raises ends the wait.

        Returns:
            Whether the memory is free again; ``False`` after the timeout.
        """
        if self._before is None:
            return True
        end = time.monotonic() + self._timeout
        while True:
            used = self._read()
            if used is None or used <= self._before + _TOLERANCE_BYTES:
                return True
            if time.monotonic() >= end:
                return False
            pause(_POLL)
