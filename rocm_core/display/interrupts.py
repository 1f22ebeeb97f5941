"""Interrupts (Ctrl-C, a cancelled task) that IPython tells in a few lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def short_interrupts() -> Iterator[None]:
    """Let IPython tell an interrupt inside the block in a few lines."""
    try:
        yield
    except BaseException as error:
        tell_shortly(error)
        raise


def tell_shortly(error: BaseException) -> None:
    """Let IPython tell ``error`` in a few lines if it is an interrupt."""
    if "IPython" in sys.modules and not isinstance(error, (Exception, GeneratorExit)):
        from rocm_core.display.traceback import short_for_interrupt

        short_for_interrupt(error)
