"""The progress of a load, on stderr; nothing when that is no terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rocm_core.cli.console import make_console


@contextlib.contextmanager
def load_progress(name: str) -> Iterator[Callable[[float], None]]:
    """Shows a bar while the block runs; yields what to call with the share done (0..1)."""
    console = make_console(aside=True)
    if not console.is_terminal:
        # Before rich 15 a disabled bar still ends with an empty line.
        yield lambda _share: None
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("loading {task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        # Without a total the bar pulses: builds that report no progress still show life.
        task = bar.add_task(name, total=None)

        def show(share: float) -> None:
            bar.update(task, total=1.0, completed=share)

        yield show
