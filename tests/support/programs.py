"""Other Python programs for the tests: a notebook to kill, ten at once, one that forks."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

# No wait of a test is longer; the machine may be busy. Shorter than pytest's own limit, so that
# whoever waits in vain is told what for.
PATIENCE = 90.0
_LAST_WORDS = 10.0


class Program:
    """A Python program that runs ``body`` and talks in lines."""

    def __init__(self, body: str, *args: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", body, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._args = args
        self._errors = b""
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        readers = (self._read_lines, self._read_errors)
        self._readers = [threading.Thread(target=reader, daemon=True) for reader in readers]
        for reader in self._readers:
            reader.start()

    def __repr__(self) -> str:
        return f"program {' '.join(self._args)} (pid {self.pid})"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def errors(self) -> str:
        """What it has written to stderr so far."""
        return self._errors.decode(errors="replace")

    def _read_lines(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr
        while data := os.read(self.process.stderr.fileno(), 65536):
            self._errors += data

    def line(self, patience: float = PATIENCE) -> str:
        """The next line it prints.

        Raises:
            AssertionError: it ended, or nothing came; with what it said on stderr, and in the
                latter case with the stacks of its threads.
        """
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            stacks = self._die_of_it()
            raise AssertionError(f"{self} printed nothing for {patience:g} s:\n{stacks}") from None
        if line is None:
            self._lines.put(None)
            self._hear_out()
            raise AssertionError(f"{self} ended: {self.errors}")
        return line.decode().strip()

    def _die_of_it(self) -> str:
        """End it with SIGABRT, upon which its ``faulthandler`` writes every thread's stack."""
        self.process.send_signal(signal.SIGABRT)
        try:
            self.process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self.kill()  # suspended
        self._hear_out()
        return self.errors

    def _hear_out(self) -> None:
        for reader in self._readers:
            reader.join(_LAST_WORDS)

    def say(self, text: str = "") -> None:
        """Write a line to its stdin."""
        assert self.process.stdin
        self.process.stdin.write(f"{text}\n".encode())
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
            self.process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._hear_out()
        if not any(reader.is_alive() for reader in self._readers):  # a copy of it may hold them
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


def in_time(seconds: float) -> float:
    """A limit for what is promised within ``seconds`` on a machine that has nothing else to do."""
    return 3 * seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


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
