"""Where this program's servers listen: a socket in a private directory (mode 0700), or a port.

A directory that a killed program has left behind is deleted by the next one.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

from rocm_core.config import LoadConfig
from rocm_core.engine.command_line import LOOPBACK, Address
from rocm_core.errors import ConfigError

_PREFIX = "llama-rocm-"
# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, with the final zero.
_MAX_SOCKET_PATH = 103
_SOCKET = "s.sock"


def create() -> Path:
    """Make a new private directory; deletes those that dead programs of this user have left.

    Raises:
        OSError: no directory is writable and has a path that is short enough.
    """
    for base in (os.environ.get("XDG_RUNTIME_DIR"), temporary_directory(), "/tmp"):
        if not base or not os.access(base, os.W_OK | os.X_OK):
            continue
        if len(os.fsencode(base)) + len(_PREFIX) + 8 + 1 + len(_SOCKET) <= _MAX_SOCKET_PATH:
            _sweep(Path(base))
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    raise OSError("no writable directory with a path short enough for a unix socket")


def temporary_directory() -> str | None:
    """Return the directory for temporary files; ``None`` if none can be written (a full disk)."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return None


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


def address_of(config: LoadConfig, directory: Path, host: str) -> Address:
    """Return where a new server listens: a socket in ``directory``, or a TCP port.

    Raises:
        ConfigError: ``host`` is no address of this machine.
    """
    if config.port is None and host == LOOPBACK and hasattr(socket, "AF_UNIX"):
        return Address(socket=socket_in(directory))
    return Address(port=config.port or _free_port(host), host=host)


def _free_port(host: str) -> int:
    with socket_for(host) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise ConfigError(f"host={host!r} is no address of this machine: {error}") from error
        return int(probe.getsockname()[1])


def socket_for(host: str) -> socket.socket:
    """Return a TCP socket of the family of an address."""
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
