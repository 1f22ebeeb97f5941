"""The log file of a shared server: write it with bounded size, read its end, follow it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

# The runtime directory is in memory on most systems.
_MAX_BYTES = 2 * 2**20
_TAIL_BYTES = 64 * 1024
_TAIL_LINES = 400
_POLL = 0.2


def handler(path: Path) -> logging.Handler:
    """Return a handler that writes to ``path``; at 2 MiB the file is renamed to ``path.1``."""
    made = RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8")
    made.setFormatter(logging.Formatter("%(message)s"))
    return made


def tail(path: Path, lines: int = _TAIL_LINES) -> list[str]:
    """Return the last ``lines`` lines (up to 64 KiB of each file), oldest first.

    Empty if there is no file.
    """
    return _tail(path, lines)


def _tail(path: Path, lines: int, end: int | None = None) -> list[str]:
    """``tail``, without what was written after the first ``end`` bytes of the file."""
    found: list[str] = []
    for part, size in ((path, end), (_older(path), None)):
        if len(found) < lines:
            found = _last_lines(part, size) + found
    return found[-lines:] if lines else []


def follow(path: Path, ended: Callable[[], bool], lines: int = 0) -> Iterator[str]:
    """Yield the last ``lines`` lines, then every new one; goes on when the file is rotated.

    Args:
        path: the log; it may not exist yet.
        ended: whether nothing more will be written.
        lines: default: only new ones.
    """
    file = _open(path)
    if file is not None:
        # First, because lines may be written while the reader takes the last ones.
        end = file.seek(0, os.SEEK_END)
        yield from _tail(path, lines, end)
    rest = b""
    try:
        while True:
            # Before the last read, so that every line written before the end is read.
            last, replaced = ended(), file is None or _replaced(file, path)
            if file is not None:
                *whole, rest = (rest + file.read()).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "replace")
            if last:
                return
            if replaced:
                if file is not None:
                    file.close()
                file = _open(path)
            else:
                time.sleep(_POLL)
    finally:
        if file is not None:
            file.close()


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _last_lines(path: Path, end: int | None) -> list[str]:
    file = _open(path)
    if file is None:
        return []
    with file:
        size = file.seek(0, os.SEEK_END)
        size = size if end is None else min(end, size)
        start = file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read(size - start).decode("utf-8", "replace").splitlines()
        return lines[1:] if start else lines  # the first one is incomplete


def _open(path: Path) -> IO[bytes] | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _replaced(file: IO[bytes], path: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
