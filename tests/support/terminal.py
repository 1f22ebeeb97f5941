"""A program in a pseudo-terminal, and what a person would see there.

    with Terminal([sys.executable, "-m", "…"]) as terminal:
        terminal.wait_for("> ")
        terminal.send("Hello\\r")
        print(terminal.screen)

The screen obeys the few commands that rich and prompt_toolkit send (ECMA-48), and fails on others.
``written`` is the same in bytes; ``rewritten`` counts the cells that were replaced by other text.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from tests.support.programs import PATIENCE

_TOKEN = re.compile(r"\x1b\[[?>]?[\d;]*[a-zA-Z]|[\x00-\x1f]|[^\x00-\x1f]+")
_HALF = re.compile(r"\x1b(\[[?>]?[\d;]*)?$")
_IGNORED = "hlm"


class Terminal:
    """A program with a screen of ``rows`` times ``columns``."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        rows: int = 40,
        columns: int = 80,
    ) -> None:
        self.rows, self.columns = rows, columns
        self.written = b""
        self.rewritten = 0
        self._lines = [[" "] * columns]
        self._row = self._column = 0
        self._rest = ""
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            set_size(0, rows, columns)
            os.execve(
                command[0], list(command), {**os.environ, "TERM": "xterm-256color", **(env or {})}
            )
        set_size(self._file, rows, columns)

    @property
    def screen(self) -> str:
        """What was shown, from the first line on, without blanks at the ends."""
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip()

    def send(self, text: str) -> None:
        """Type ``text``."""
        os.write(self._file, text.encode())

    def wait_for(self, text: str, count: int = 1) -> None:
        """Return as soon as ``text`` is ``count`` times on the screen."""
        end = time.monotonic() + PATIENCE
        while self.screen.count(text) < count:
            assert time.monotonic() < end, f"{text!r} never came:\n{self.screen}"
            assert self._read(), f"ended without {text!r}:\n{self.screen}"

    def wait_for_prompt(self, prompt: str, count: int) -> None:
        """Return as soon as the last line is the ``count``-th that begins with ``prompt``."""
        end = time.monotonic() + PATIENCE
        while self.screen.count(prompt) < count or "\n" in self.screen.rpartition(prompt)[2]:
            assert time.monotonic() < end, f"prompt {count} never came:\n{self.screen}"
            assert self._read(), f"ended before prompt {count}:\n{self.screen}"

    def wait(self) -> int:
        """Return the exit code, after the last output."""
        end = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < end, f"it does not end:\n{self.screen}"
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _read(self) -> bool:
        if not select.select([self._file], [], [], 0.5)[0]:
            return True
        try:
            data = os.read(self._file, 65536)
        except OSError:  # Linux: nobody has the other end any more
            return False
        self.written += data
        self._show(data.decode("utf-8", "surrogateescape"))
        return bool(data)

    def _show(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        if half := _HALF.search(text):
            text, self._rest = text[: half.start()], half[0]
        for token in _TOKEN.findall(text):
            if token[0] == "\x1b":
                self._obey(token)
            elif token[0] < " ":
                self._control(token)
            else:
                for character in token:
                    self._put(character)

    def _put(self, character: str) -> None:
        if self._column >= self.columns:
            self._column = 0
            self._down()
        line = self._lines[self._row]
        self.rewritten += line[self._column] not in (" ", character)
        line[self._column] = character
        self._column += 1

    def _down(self) -> None:
        self._row += 1
        while len(self._lines) <= self._row:
            self._lines.append([" "] * self.columns)

    def _control(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        elif character == "\b":
            self._column = max(self._column - 1, 0)
        elif character == "\t":
            self._column = min((self._column // 8 + 1) * 8, self.columns - 1)

    def _obey(self, command: str) -> None:
        kind, digits = command[-1], command[2:-1].strip("?>")
        count = int(digits) if digits.isdecimal() else 0
        line = self._lines[self._row]
        if kind == "A":
            self._row = max(self._row - (count or 1), 0)
        elif kind == "B":
            self._row = min(self._row + (count or 1), len(self._lines) - 1)
        elif kind == "C":
            self._column = min(self._column + (count or 1), self.columns - 1)
        elif kind == "D":
            self._column = max(min(self._column, self.columns - 1) - (count or 1), 0)
        elif kind == "K":
            first, last = ((self._column, None), (0, self._column + 1), (0, None))[count]
            self._erase(line, slice(first, last))
        elif kind == "J" and count == 0:
            self._erase(line, slice(self._column, None))
            del self._lines[self._row + 1 :]
        else:
            assert kind in _IGNORED, f"the screen does not know {command!r}"

    def _erase(self, line: list[str], cells: slice) -> None:
        line[cells] = [" "] * len(line[cells])

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._file)


def set_size(file: int, rows: int, columns: int) -> None:
    """Tell a terminal how large its window is."""
    fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
