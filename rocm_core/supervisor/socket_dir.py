"""Private directories for the sockets of this program's servers: mode 0700, short paths.

A directory that a killed program has left behind is deleted by the next one.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

_PREFIX = "llama-rocm-"
# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, with the final zero.
_MAX_SOCKET_PATH = 103
_SOCKET = "s.sock"


def create() -> Path:
    """Make a new private directory; deletes those that dead programs of this user have left.

    Raises:
        OSError: no directory is writable and has a path that is short enough.
    """
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if not base or not os.access(base, os.W_OK | os.X_OK):
            continue
        if len(os.fsencode(base)) + len(_PREFIX) + 8 + 1 + len(_SOCKET) <= _MAX_SOCKET_PATH:
            _sweep(Path(base))
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    raise OSError("no writable directory with a path short enough for a unix socket")


def socket_in(directory: Path) -> Path:
    """Return the path for the server's socket; llama-server wants it to end in ``.sock``."""
    return directory / _SOCKET


def remove(directory: Path) -> None:
    """Delete a directory that ``create`` has made; does nothing if it is gone."""
    shutil.rmtree(directory, ignore_errors=True)


def _sweep(base: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        return  # a directory is only known to be dead by its socket
    for directory in base.glob(f"{_PREFIX}*"):
        try:
            stat = directory.stat()
        except OSError:
            continue
        if stat.st_uid == os.getuid() and time.time() - stat.st_mtime > 60 and _dead(directory):
            remove(directory)


def _dead(directory: Path) -> bool:
    # A refused connection is proof. Without a socket the server may still be loading.
    path = socket_in(directory)
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
