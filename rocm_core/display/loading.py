"""One display of a load: stage, share and seconds while it lasts, then a line that stays.

In a notebook a display that is updated in place, in IPython in a terminal a line on stderr. A load
that is quicker than ``_PATIENCE`` shows its last line alone.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from rocm_core.display.shell import is_kernel, is_watched, running_shell
from rocm_core.display.table import escape
from rocm_core.terminal import visible

# Seconds before anything is shown, and between two updates.
_PATIENCE, _TICK = 0.3, 0.25
_GRAY = "color:var(--jp-ui-font-color2,#757575);font-size:90%"
# What is shown now: several callers may wait for one load.
_shown: set[Hashable] = set()
_lock = threading.Lock()

Write = Callable[[str, str], None]
"""Shows text and its HTML, in place of what was shown before."""


@contextlib.contextmanager
def load_display(key: Hashable, name: str) -> Iterator[LoadDisplay | None]:
    """Show a load while the block runs.

    Args:
        key: of what is loaded; a second display of the same is none.
        name: of the model.

    Yields:
        The display; ``None`` where nobody looks, or where there is one already.
    """
    shell = running_shell()
    if shell is None or not is_watched(shell):
        yield None
        return
    with _lock:
        first = key not in _shown
        _shown.add(key)
    if not first:
        yield None
        return
    shown = LoadDisplay(name, _in_notebook(shell) if is_kernel(shell) else _in_terminal)
    try:
        with shown:
            yield shown
    finally:
        with _lock:
            _shown.discard(key)


class LoadDisplay:
    """The display of one load. A thread of its own counts the seconds."""

    def __init__(self, name: str, write: Write) -> None:
        self._name = name
        self._write = write
        self._begun = time.monotonic()
        self._share = 0.0
        self._facts: tuple[str, ...] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def progress(self, share: float) -> None:
        """Take the share of the load that is done (0..1)."""
        self._share = share

    def loaded(self, facts: Sequence[str]) -> None:
        """Take what the line that stays says of the loaded model."""
        self._facts = tuple(facts)

    def __enter__(self) -> LoadDisplay:
        # A copy of the context: it says to which cell an output belongs.
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(self._tick,), name="rocm-display", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads: no seconds are counted
            thread.start()
            self._thread = thread
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if kind is not None:
            self._show(f"{self._name}: not loaded ({kind.__name__}), {self._seconds}")
        elif self._facts is not None:
            self._show(" · ".join((self._name, *self._facts, f"loaded in {self._seconds}")))
        else:
            self._show(f"{self._name}: loaded in {self._seconds}")

    @property
    def _seconds(self) -> str:
        return f"{time.monotonic() - self._begun:.1f} s"

    def _tick(self) -> None:
        pause = _PATIENCE
        while not self._ended.wait(pause):
            pause, share = _TICK, self._share
            stage = "starting" if not share else "loading" if share < 1 else "getting ready"
            percent = f" {100 * share:.0f} %" if 0 < share < 1 else ""
            self._show(f"{stage} {self._name}{percent}, {self._seconds}", share)

    def _show(self, text: str, share: float | None = None) -> None:
        bar = ""
        if share is not None:
            value = f' value="{share:.3f}"' if share else ""
            bar = f"<progress max=1{value}></progress> "
        self._write(text, f'<div style="{_GRAY}">{bar}{escape(text)}</div>')


def _in_notebook(shell: Any) -> Write:
    name, shown = f"rocm-{uuid.uuid4().hex}", False

    def write(text: str, html: str) -> None:
        nonlocal shown
        shell.display_pub.publish(
            {"text/plain": visible(text), "text/html": html},
            transient={"display_id": name},
            update=shown,
        )
        shown = True

    return write


def _in_terminal(text: str, html: str) -> None:
    if sys.stderr is not None:
        end = "" if "<progress" in html else "\n"
        sys.stderr.write(f"\r\x1b[K{visible(text)}{end}")
        sys.stderr.flush()
