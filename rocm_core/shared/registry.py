"""The shared servers of this user: one directory, one entry and one lock per server.

    $XDG_RUNTIME_DIR/llama-rocm/            mode 0700, ours, no symbolic link
        KEY.lock    held (flock) by the keeper as long as it lives: one keeper per key
        KEY.sock    where it listens (see ``control``)
        KEY.json    the entry, mode 0600: who runs, where, and the server's API key
        KEY.log     what the server printed

KEY is a digest of everything that decides how a server answers. The kernel lets go of a lock
when its holder dies, so an entry without a locked lock is stale, and whoever finds it sweeps it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson

from rocm_core.config import LoadConfig
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.locate import Engine
from rocm_core.errors import ConfigError, ServerStartError
from rocm_core.shared.process_identity import ProcessId

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_DIRECTORY = "llama-rocm"
_KEY = re.compile(r"[0-9a-f]{16}")
# sockaddr_un.sun_path holds 104 bytes on macOS, with the final zero.
_MAX_SOCKET_PATH = 103
# Options that say how we deal with the server, not what it is.
_NOT_OF_THE_SERVER = ("backend", "keep_alive", "restart", "stall_timeout", "engine", "server_path")
# Variables that a llama-server, ROCm or ggml reads.
_OF_THE_SERVER = (
    *("HIP_", "ROCR_", "HSA_", "GGML_", "GPU_", "CUDA_", "HF_"),
    *("LD_LIBRARY_PATH", "LLAMA_CACHE"),
)


@dataclass(frozen=True)
class Entry:
    """A shared server, as its keeper has written it down.

    Attributes:
        key: digest of model and options.
        keeper: the process that owns the server.
        server: the server's own process.
        socket: unix socket of the server, or ``None`` with a TCP ``port`` on loopback.
        api_key: the server's private key; this file is the only place that holds it.
    """

    key: str
    model: str
    ref: str
    keeper: ProcessId
    server: ProcessId
    socket: str | None
    port: int | None
    api_key: str
    log: str

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, {self.model!r}, pid {self.server.pid})"


def supported() -> str | None:
    """Why servers cannot be shared on this platform, or ``None``."""
    if fcntl is None or not hasattr(socket, "AF_UNIX"):
        return "keep_alive needs unix sockets and file locks, which this platform does not have"
    return None


class Registry:
    """The directory of shared servers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def open(cls, env: Mapping[str, str] = os.environ) -> Registry:
        """This user's registry; its directory is made if need be.

        Raises:
            ConfigError: the platform cannot share servers.
            ServerStartError: there is no private, writable directory for it.
        """
        if problem := supported():
            raise ConfigError(f"{problem}. Use keep_alive=0, or llama-rocm serve and its URL.")
        problems = []
        for directory in _candidates(env):
            try:
                directory.mkdir(mode=0o700, exist_ok=True)
                if problem := _unsafe(directory):
                    problems.append(f"{directory} {problem}")
                    continue
            except OSError as error:
                problems.append(f"{directory}: {error.strerror}")
                continue
            return cls(directory)
        raise ServerStartError(
            f"no directory for shared servers: {'; '.join(problems)}. Set XDG_RUNTIME_DIR to a "
            "short path that only you can write to, or use keep_alive=0."
        )

    def path(self, key: str, suffix: str) -> Path:
        """A file of the server with this key."""
        return self.directory / f"{key}.{suffix}"

    # -- entries ----------------------------------------------------------------------------

    def known(self) -> list[str]:
        """The keys of all servers that left a trace, alive or not."""
        found = {path.stem for path in self.directory.glob("*.*") if _KEY.fullmatch(path.stem)}
        return sorted(found)

    def read(self, key: str) -> Entry | None:
        """The entry, or ``None`` if it is missing, damaged, or not ours alone."""
        try:
            with open(self.path(key, "json"), "rb", opener=_no_links) as file:
                facts = os.fstat(file.fileno())
                if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                    return None
                entry = _entry(orjson.loads(file.read()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return entry if entry.key == key else None

    def write(self, entry: Entry) -> None:
        """Write it, whole or not at all; raises ``OSError``."""
        path = self.path(entry.key, "json")
        handle, temporary = tempfile.mkstemp(dir=self.directory, prefix=".", suffix=".new")
        try:
            with open(handle, "wb") as file:
                file.write(orjson.dumps(asdict(entry)))
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def remove(self, key: str) -> None:
        """Delete every file of a server; only while its lock is held."""
        for suffix in ("json", "sock", "log", "log.1", "lock"):
            with contextlib.suppress(OSError):
                self.path(key, suffix).unlink()

    def sweep(self) -> None:
        """Delete what dead keepers have left behind."""
        for key in self.known():
            if (lock := self.lock(key)) is not None:
                self.remove(key)
                os.close(lock)

    # -- locks ------------------------------------------------------------------------------

    def lock(self, key: str) -> int | None:
        """Take the lock of a key; ``None`` if somebody holds it.

        Returns:
            A descriptor; closing its last copy, or the death of its holders, frees the lock.
        """
        path = self.path(key, "lock")
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            except BaseException:
                os.close(handle)
                raise
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(handle).st_ino == path.stat().st_ino:
                    return handle
            os.close(handle)  # its last holder has deleted the file that we had opened


def key_of(
    ref: ModelRef, config: LoadConfig, engine: Engine, env: Mapping[str, str] = os.environ
) -> str:
    """The digest of everything that decides how a server answers."""
    facts: dict[str, Any] = {
        "ref": [ref.kind, ref.value, ref.name],
        "file": _file_facts(ref),
        "engine": engine.argv,
        "options": {
            f.name: getattr(config, f.name)
            for f in fields(config)
            if f.compare and f.name not in _NOT_OF_THE_SERVER
        },
        "cwd": str(Path.cwd()) if config.extra_args else "",
        "env": {name: env[name] for name in sorted(env) if name.startswith(_OF_THE_SERVER)},
    }
    data = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(data).hexdigest()[:16]


def with_absolute_paths(config: LoadConfig) -> LoadConfig:
    """The same options for a process in another directory."""
    changes: dict[str, Any] = {"lora": [_absolute(path) for path in config.lora]}
    for name in ("server_path", "mmproj", "draft_model"):
        if value := getattr(config, name):
            changes[name] = _absolute(value)
    return replace(config, **changes)


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().absolute())


def _file_facts(ref: ModelRef) -> list[int]:
    if ref.kind != "file":
        return []
    facts = Path(ref.value).stat()
    return [facts.st_size, facts.st_mtime_ns]


def _candidates(env: Mapping[str, str]) -> Iterator[Path]:
    runtime = env.get("XDG_RUNTIME_DIR")
    for base, name in (
        (runtime, _DIRECTORY),
        (tempfile.gettempdir(), f"{_DIRECTORY}.{os.getuid()}"),
        ("/tmp", f"{_DIRECTORY}.{os.getuid()}"),
    ):
        if base and len(os.fsencode(base)) + len(name) + 23 <= _MAX_SOCKET_PATH:
            yield Path(base) / name


def _unsafe(directory: Path) -> str | None:
    facts = directory.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        return "is not a directory"
    if facts.st_uid != os.getuid():
        return "belongs to another user"
    if facts.st_mode & 0o077:
        return "is open to other users (it must have mode 0700)"
    if not os.access(directory, os.W_OK | os.X_OK):
        return "is not writable"
    return None


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _entry(data: dict[str, Any]) -> Entry:
    keeper, server = (_identity(data.pop(name)) for name in ("keeper", "server"))
    path, port = data.pop("socket"), data.pop("port")
    if not all(isinstance(value, str) for value in data.values()) or (path is None) == (
        port is None
    ):
        raise ValueError("not an entry")
    return Entry(
        keeper=keeper,
        server=server,
        socket=None if path is None else str(path),
        port=None if port is None else int(port),
        **data,
    )


def _identity(data: dict[str, Any]) -> ProcessId:
    return ProcessId(int(data["pid"]), str(data["started"]))
