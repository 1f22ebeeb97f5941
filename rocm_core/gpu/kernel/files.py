"""Read the kernel's small text files; return ``None`` for any failure, never raise.

Files of sysfs come and go with the kernel's version, the device, and the container; a container
or a cgroup may also forbid reading them (``EPERM``).
"""

from __future__ import annotations

import os
from pathlib import Path

# sysfs files are one page at most; the longest file read here is libdrm's list of names.
_MAX_BYTES = 1 << 17


def read_text(path: str | os.PathLike[str]) -> str | None:
    """Return the stripped content; ``None`` if the file is missing, unreadable or empty."""
    try:
        # os.open, because a listing reads two dozen files per GPU, and open() has more layers.
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
    """Return the content as a number, decimal or ``0x…``; ``None`` if it is none."""
    text = read_text(path)
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None


def numbered(folder: Path, prefix: str = "") -> list[tuple[int, Path]]:
    """Return ``(number, path)`` of the entries named ``<prefix><number>``, sorted by number.

    Empty if the folder is missing or unreadable.
    """
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
