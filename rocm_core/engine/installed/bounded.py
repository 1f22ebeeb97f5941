"""Run a program for what it prints, and keep a bounded part of that."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, NamedTuple

from rocm_core.engine.embedded_start import ELSEWHERE, python_environment
from rocm_core.threads import start_thread


class Output(NamedTuple):
    """What a program printed.

    Attributes:
        stdout, stderr: the last bytes of each.
        returncode: its exit code; ``None`` if it had to be killed.
    """

    stdout: bytes
    stderr: bytes
    returncode: int | None


def run_bounded(
    argv: Sequence[str], env: Mapping[str, str], timeout: float, limit: int, total: int = 0
) -> Output:
    """Run a program to its end, without keeping or waiting for all that it may print.

    Args:
        argv: its command line; it does not start in our working directory.
        env: its environment.
        timeout: seconds after which it is killed.
        limit: the last bytes of each stream that are kept.
        total: bytes of stdout after which it is killed; of stderr, and by default: ``limit``.

    Raises:
        OSError: it cannot be started.
        ServerStartError: the system allows no thread that reads what it prints; it was killed.
    """
    end = time.monotonic() + timeout
    with subprocess.Popen(
        argv,
        env=python_environment(env),
        cwd=ELSEWHERE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as process:

        def kill() -> None:
            _kill_all(process)

        pipes = [
            _Pipe(process.stdout, limit, total or limit, kill),
            _Pipe(process.stderr, limit, limit, kill),
        ]
        code = None
        try:
            for pipe in pipes:
                start_thread(pipe, f"what {argv[0]} prints cannot be read")
            for pipe in pipes:
                pipe.join(max(0.0, end - time.monotonic()))
            code = process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                kill()
    flooded = any(pipe.flooded for pipe in pipes)
    return Output(pipes[0].kept, pipes[1].kept, None if flooded else code)


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # with what a script has started
    process.kill()


class _Pipe(threading.Thread):
    """Reads what a program prints, up to its end or a flood, and keeps the last bytes."""

    def __init__(
        self, pipe: IO[bytes] | None, limit: int, total: int, end: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True, name="rocm-pipe")
        self.kept, self.flooded = b"", False
        self._pipe, self._limit, self._total, self._end = pipe, limit, total, end

    def run(self) -> None:
        read = 0
        while self._pipe is not None and not self.flooded and (data := self._pipe.read(65536)):
            self.kept, read = (self.kept + data)[-self._limit :], read + len(data)
            self.flooded = read > self._total
        if self.flooded:
            self._end()
