"""Private directories for sockets: mode 0700, short paths, leftovers of dead programs swept."""

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
    """A new private directory, and dead ones of this user removed."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if not base or not os.access(base, os.W_OK | os.X_OK):
            continue
        if len(os.fsencode(base)) + len(_PREFIX) + 8 + 1 + len(_SOCKET) <= _MAX_SOCKET_PATH:
            _sweep(Path(base))
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    raise OSError("no writable directory with a path short enough for a unix socket")


def socket_in(directory: Path) -> Path:
    """Where the server's socket goes (llama-server wants the name to end in ``.sock``)."""
    return directory / _SOCKET


def remove(directory: Path) -> None:
    """Delete a directory made by ``create``; nothing if it is gone."""
    shutil.rmtree(directory, ignore_errors=True)


def _sweep(base: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        return  # what can be swept is what had a socket
    for directory in base.glob(f"{_PREFIX}*"):
        try:
            stat = directory.stat()
        except OSError:
            continue
        if stat.st_uid == os.getuid() and time.time() - stat.st_mtime > 60 and _dead(directory):
            remove(directory)


def _dead(directory: Path) -> bool:
    # A refused connection is proof; a missing socket may belong to a server that is loading.
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
