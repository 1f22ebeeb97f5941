"""The directory of this user's shared servers: one entry, lock, socket and log per server.

    $XDG_RUNTIME_DIR/llama-rocm/            mode 0700, owned by the user, no symbolic link
        KEY.lock    locked (flock) by the daemon while it lives: one daemon per key
        KEY.sock    the daemon listens here (see ``protocol``)
        KEY.json    the entry, mode 0600: processes, address and API key of the server
        KEY.log     the server's output

KEY is a digest of everything that decides how a server answers, and of the protocol's version. The
kernel frees a lock when its holder dies, so an entry whose lock is free is stale, and ``sweep``
deletes its files. Programs with another version of this package use the same directory: file names
stay the same in all versions, and a field of an entry never changes its meaning.
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

from rocm_core.config import LoadConfig, chosen_template
from rocm_core.config.option import expanded
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.engine_files import build_files
from rocm_core.engine.locate import Engine
from rocm_core.errors import ConfigError, ServerStartError
from rocm_core.shared.process_identity import ProcessId
from rocm_core.shared.protocol import VERSION
from rocm_core.supervisor.socket_dir import temporary_directory

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_DIRECTORY = "llama-rocm"
_KEY = re.compile(r"[0-9a-f]{16}")
# sockaddr_un.sun_path holds 104 bytes on macOS, with the final zero.
_MAX_SOCKET_PATH = 103
# Options that say how a client uses the server, not how the server answers.
_CLIENT_OPTIONS = ("backend", "keep_alive", "restart", "stall_timeout", "engine", "server_path")
# Variables that a llama-server, ROCm or ggml reads.
_SERVER_VARIABLES = (
    *("HIP_", "ROCR_", "HSA_", "GGML_", "GPU_", "CUDA_", "HF_"),
    *("LD_LIBRARY_PATH", "LLAMA_CACHE"),
)


@dataclass(frozen=True)
class Entry:
    """What a daemon has written about its server.

    Attributes:
        key: digest of model and options (see ``key_of``).
        model: the model's name.
        ref: path or download of the model.
        daemon: the process that owns the server.
        server: the server's own process.
        socket: path of the server's unix socket; ``None`` with a TCP port.
        port: TCP port on 127.0.0.1; ``None`` with a unix socket.
        api_key: the server's private key; no other file holds it.
        log: path of the server's log.
    """

    key: str
    model: str
    ref: str
    daemon: ProcessId
    server: ProcessId
    socket: str | None
    port: int | None
    api_key: str
    log: str

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, {self.model!r}, pid {self.server.pid})"


def supported() -> str | None:
    """Return why this platform cannot share servers, or ``None`` if it can."""
    if fcntl is None or not hasattr(socket, "AF_UNIX"):
        return "keep_alive needs unix sockets and file locks, which this platform does not have"
    return None


class Registry:
    """The directory of shared servers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def open(cls, env: Mapping[str, str] = os.environ) -> Registry:
        """Return this user's registry; creates its directory if it is missing.

        Args:
            env: where to look for ``XDG_RUNTIME_DIR``; without it the registry is in the
                directory for temporary files.

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
        """Return the path of a file of the server with this key."""
        return self.directory / f"{key}.{suffix}"

    # -- entries ----------------------------------------------------------------------------

    def known(self) -> list[str]:
        """Return the keys of all servers that have files here, running or not, sorted."""
        found = {path.stem for path in self.directory.glob("*.*") if _KEY.fullmatch(path.stem)}
        return sorted(found)

    def read(self, key: str) -> Entry | None:
        """Return the entry; ``None`` if it is missing, damaged, or accessible to other users.

        Fields that this version does not know are ignored.
        """
        try:
            with open(self.path(key, "json"), "rb", opener=_no_links) as file:
                facts = os.fstat(file.fileno())
                if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                    return None
                entry = _parse_entry(orjson.loads(file.read()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return entry if entry.key == key else None

    def write(self, entry: Entry) -> None:
        """Write an entry atomically: readers see the old one or the new one.

        Raises:
            OSError: the file cannot be written; the old entry is intact.
        """
        path = self.path(entry.key, "json")
        name = f".{entry.key}."
        handle, temporary = tempfile.mkstemp(dir=self.directory, prefix=name, suffix=".new")
        try:
            with open(handle, "wb") as file:
                file.write(orjson.dumps(asdict(entry)))
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def remove(self, key: str) -> None:
        """Delete every file of a server; the caller holds its lock.

        That includes files that only another version of this package knows.
        """
        lock = self.path(key, "lock")
        files = [path for path in self.directory.glob(f"{key}.*") if path != lock]
        files += self.directory.glob(f".{key}.*")  # of a ``write`` that was killed
        # The lock last: whoever takes a new one must not find files of the old server.
        for path in [*files, lock]:
            with contextlib.suppress(OSError):
                path.unlink()

    def sweep(self) -> None:
        """Delete the files of every server whose daemon is dead."""
        for key in self.known():
            if (lock := self.lock(key)) is not None:
                self.remove(key)
                os.close(lock)

    # -- locks ------------------------------------------------------------------------------

    def lock(self, key: str) -> int | None:
        """Take the lock of a key.

        Returns:
            A descriptor: the lock is free again once every copy of it is closed, by ``os.close``
            or by the death of the processes that hold one. ``None`` if another process holds it.

        Raises:
            OSError: the lock file cannot be opened or created.
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
            os.close(handle)  # its last holder deleted the file after we opened it


def key_of(
    ref: ModelRef, config: LoadConfig, engine: Engine, env: Mapping[str, str] = os.environ
) -> str:
    """Return the key of a shared server: two programs with the same key share one.

    Args:
        ref: the model. Of a file its size and time of change count as well.
        config: the load options. Those that only say how a client uses the server do not count.
        engine: the program that runs the server. Its files' sizes and times of change count as
            well: a server of the build that was there before is not shared with who gets this one.
        env: variables that a llama-server, ROCm or ggml reads count.

    Returns:
        16 hexadecimal digits of a digest of all that and of the protocol's version.

    Raises:
        OSError: the model's file cannot be read.
    """
    facts: dict[str, Any] = {
        "protocol": VERSION,
        "ref": [ref.kind, ref.value, ref.name],
        "file": _file_facts(ref),
        "engine": [engine.argv, build_files(engine)],
        "options": {
            f.name: getattr(config, f.name)
            for f in fields(config)
            if f.compare and f.name not in _CLIENT_OPTIONS
        },
        "cwd": str(Path.cwd()) if config.extra_args else "",
        "env": {name: env[name] for name in sorted(env) if name.startswith(_SERVER_VARIABLES)},
    }
    data = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(data).hexdigest()[:16]


def with_absolute_paths(config: LoadConfig) -> LoadConfig:
    """Return ``config`` for a process with another working directory, and for its key.

    Paths are absolute. A chat template's file is replaced by what is in it: another text is another
    server.

    Raises:
        ConfigError: the chat template's file cannot be read, or is none.
    """
    adapters = [f"{_absolute(path)}:{scale:g}" for path, scale in config.lora_adapters]
    changes: dict[str, Any] = {"lora": adapters}
    if choice := chosen_template(config):
        changes |= {"chat_template": choice.name or choice.text, "chat_template_file": None}
    for name in ("server_path", "mmproj", "draft_model"):
        if value := getattr(config, name):
            changes[name] = _absolute(value)
    return replace(config, **changes)


def _absolute(path: str | Path) -> str:
    return str(expanded(path).absolute())


def _file_facts(ref: ModelRef) -> list[int]:
    if ref.kind != "file":
        return []
    facts = Path(ref.value).stat()
    return [facts.st_size, facts.st_mtime_ns]


def _candidates(env: Mapping[str, str]) -> Iterator[Path]:
    runtime = env.get("XDG_RUNTIME_DIR")
    for base, name in (
        (runtime, _DIRECTORY),
        (temporary_directory(), f"{_DIRECTORY}.{os.getuid()}"),
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


def _parse_entry(data: dict[str, Any]) -> Entry:
    texts = {name: data[name] for name in ("key", "model", "ref", "api_key", "log")}
    path, port = data["socket"], data["port"]
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("a field of the entry is not a string")
    if (path is None) == (port is None):
        raise ValueError("an entry has a socket or a port")
    # Packages without a protocol version wrote the daemon's process as "keeper".
    daemon = data["daemon"] if "daemon" in data else data["keeper"]
    return Entry(
        daemon=_parse_process(daemon),
        server=_parse_process(data["server"]),
        socket=None if path is None else str(path),
        port=None if port is None else int(port),
        **texts,
    )


def _parse_process(data: dict[str, Any]) -> ProcessId:
    return ProcessId(int(data["pid"]), str(data["started"]))
