"""Other Python programs for the tests: a notebook to kill, ten at once, one that forks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

PATIENCE = 60.0  # no wait of a test is longer; the machine may be busy


class Program:
    """A Python program that runs ``body`` and talks in lines."""

    def __init__(self, body: str, *args: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", body, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.errors = ""
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _read_errors(self) -> None:
        assert self.process.stderr
        self.errors = self.process.stderr.read()

    def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self._drain.join(5)
            raise AssertionError(f"the program ended: {self.errors}")
        return line.strip()

    def say(self, text: str = "") -> None:
        """Write a line to its stdin."""
        assert self.process.stdin
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """``kill -9``, and reap it."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Let it end by itself (its stdin ends), or kill it."""
        assert self.process.stdin and self.process.stdout and self.process.stderr
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._drain.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def programs() -> Iterator[Callable[..., Program]]:
    """Starts programs; whatever still runs at the end is ended."""
    started: list[Program] = []

    def start(body: str, *args: str, **options: Any) -> Program:
        started.append(Program(body, *args, **options))
        return started[-1]

    try:
        yield start
    finally:
        for program in started:
            program.close()


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait until it is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.005)


def runs(pid: int | None) -> bool:
    """Whether the process lives; a zombie does not."""
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(path.readlink()))
    return sorted(found)
