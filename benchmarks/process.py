"""The scripted server as the measuring process sees it."""

from __future__ import annotations

import mmap
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parent.parent


class ScriptedServer:
    """A running ``benchmarks.server``; use it as a context manager.

    Attributes:
        taken: the count of pieces taken, at index 0; set it to 0 before each request.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as shared:
            shared.truncate(8)
            fd = shared.fileno()
            self._memory = mmap.mmap(fd, 8)
            self.taken = memoryview(self._memory).cast("Q")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.server", str(fd)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[fd],
                cwd=ROOT,
            )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def url(self, mode: str, chunks: int) -> str:
        """The base URL of a server that streams so many chunks in this mode."""
        return f"http://127.0.0.1:{self._port}/{mode}/{chunks}"

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # closes its standard input: it exits
        self.taken.release()
        self._memory.close()
