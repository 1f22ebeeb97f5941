"""Reading the kernel's small text files: any trouble is ``None``, never an exception.

Files of sysfs come and go with the kernel's version, the device, and the container; a container
or a cgroup may also forbid reading them (``EPERM``).
"""

from __future__ import annotations

import os
from pathlib import Path

# sysfs files are one page at most; the longest file read here is libdrm's list of names.
_MAX_BYTES = 1 << 17


def read_text(path: str | os.PathLike[str]) -> str | None:
    """The stripped content, or ``None`` where there is none to be had."""
    try:
        # Without the layers of open(): a listing reads two dozen files per GPU.
        descriptor = os.open(path, os.O_RDONLY)
        try:
            content = os.read(descriptor, _MAX_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    # Some files hold NUL bytes (vbios_version).
    return content.decode("utf-8", "replace").strip("\0 \t\r\n") or None


def read_int(path: str | os.PathLike[str]) -> int | None:
    """A decimal or ``0x…`` number, or ``None``."""
    text = read_text(path)
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None


def numbered(folder: Path, prefix: str = "") -> list[tuple[int, Path]]:
    """Entries named ``<prefix><number>``, by number (``10`` after ``9``)."""
    found: list[tuple[int, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                digits = entry.name.removeprefix(prefix)
                if entry.name.startswith(prefix) and digits.isascii() and digits.isdigit():
                    found.append((int(digits), folder / entry.name))
    except OSError:
        return []
    return sorted(found)
