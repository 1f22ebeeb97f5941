"""A Jupyter kernel of one's own, as JupyterLab uses it: a person may be asked for input."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import start_new_kernel

PATIENCE = 90


@dataclass
class Output:
    """What a cell showed.

    Attributes:
        printed: on stdout and stderr.
        shown: the last state of each display, by its id; of results the number is the id.
        updates: how often a display was changed.
        traceback: the lines of an error, without colors; empty for none.
    """

    printed: str = ""
    shown: dict[str, dict[str, str]] = field(default_factory=dict)
    updates: int = 0
    traceback: list[str] = field(default_factory=list)

    @property
    def html(self) -> str:
        """All HTML."""
        return "\n".join(data.get("text/html", "") for data in self.shown.values())

    @property
    def text(self) -> str:
        """The plain text of displays and results."""
        return "\n".join(data.get("text/plain", "") for data in self.shown.values())


class Kernel:
    """Runs cells."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager, self._client = manager, client

    def run(self, code: str, *, interrupt_after: str = "", asks: bool = True) -> Output:
        """Run a cell.

        Args:
            code: the cell.
            interrupt_after: a text; when the cell has printed it, it is interrupted.
            asks: whether the cell may ask for input, as in front of a person.
        """
        request = self._client.execute(code, allow_stdin=asks)
        output, end = Output(), time.monotonic() + PATIENCE
        while True:
            message = self._client.get_iopub_msg(timeout=max(0.1, end - time.monotonic()))
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return output
            _take(output, kind, content)
            if interrupt_after and interrupt_after in output.printed:
                interrupt_after = ""
                self._manager.interrupt_kernel()


def _take(output: Output, kind: str, content: Any) -> None:
    if kind == "stream":
        output.printed += content["text"]
    elif kind == "error":
        output.traceback = "\n".join(content["traceback"]).splitlines()
    elif kind in ("display_data", "update_display_data", "execute_result"):
        name = content.get("transient", {}).get("display_id") or str(len(output.shown))
        output.updates += name in output.shown
        output.shown[name] = content["data"]


@contextmanager
def kernel() -> Iterator[Kernel]:
    """Start a kernel; it ends with the block."""
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=PATIENCE)
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
