"""Find what runs llama.cpp: a ``llama-server`` program or the embedded engine.

Runs the program only for its ``--help``; what else it can do is asked in ``probe``.
"""

from __future__ import annotations

import errno
import functools
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rocm_core.config import CACHE_TYPES
from rocm_core.config import Engine as EngineChoice
from rocm_core.config.option import expanded
from rocm_core.engine import embedded_start
from rocm_core.engine.embedded_flags import FLAGS
from rocm_core.engine.installed.bounded import run_bounded
from rocm_core.engine.installed.packages import installed_programs, registered_programs
from rocm_core.errors import EngineNotFound

PATH_VARIABLE = "ROCM_LLAMA_SERVER_PATH"
_EXE = "llama-server.exe" if sys.platform == "win32" else "llama-server"
_BUILD_DIRS = ("", "bin", "build/bin", "build/bin/Release")
_REMEDY = (
    'Install one: pip install "llama-rocm[embedded]" (CPU, ready at once), '
    'pip install "llama-rocm[vulkan]" (GPU, ready at once on Linux x86_64), '
    'pip install "llama-rocm[server]" (compiles llama-server), or put a ROCm build of '
    f"llama-server on PATH or into {PATH_VARIABLE}. llama-rocm setup says which one fits."
)
_OTHER_PLATFORM = (
    "it is made for another processor or system (Exec format error). Use a build for this one; "
    "llama-rocm setup says which fits."
)
# What the dynamic loader says of a program that was linked with a newer C or C++ library.
_C_LIBRARY = re.compile(r"(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+(?=['`]? not found)")
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

    @property
    def place(self) -> str:
        """The label, and where the engine was found."""
        return self.label if self.source in self.label else f"{self.label} ({self.source})"

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
    the packages of ``installed.packages``, the embedded engine, other packages' entry points.
    Which of several a model gets is decided in ``installed.choice``.

    Args:
        choice: ``"binary"`` and ``"embedded"`` leave out the other kind.
        server_path: a llama-server, or the directory of a build.
        env: environment to look in; default: this process's.

    Raises:
        EngineNotFound: there is none, or an explicit path is wrong (the others are not tried then).
    """
    if named := named_engine(choice, server_path, env):
        return named
    found = next(installed_engines(choice, env), None) or next(registered_engines(choice), None)
    if found is None:
        raise none_installed(choice)
    return found


def named_engine(
    choice: EngineChoice, server_path: str | Path | None, env: Mapping[str, str]
) -> Engine | None:
    """Return the program that the user names; ``None`` if it is left to us.

    Raises:
        EngineNotFound: there is no program at that path.
    """
    if choice == "embedded":
        return None
    for value, source in ((server_path, "server_path"), (env.get(PATH_VARIABLE), PATH_VARIABLE)):
        if value:
            return Engine("binary", (str(_explicit(Path(value), source)),), source)
    return None


def installed_engines(choice: EngineChoice, env: Mapping[str, str]) -> Iterator[Engine]:
    """Yield what is installed, by kinds of source: ``PATH``, known packages, the embedded engine.

    Args:
        choice: as for ``find_engine``.
        env: environment to look in.
    """
    if choice != "embedded":
        if on_path := _on_path(env):
            yield on_path
        yield from _packaged()
    if choice != "binary" and importlib.util.find_spec("xllamacpp"):
        argv = (sys.executable, embedded_start.__file__)
        yield Engine("embedded", argv, "package xllamacpp")


def registered_engines(choice: EngineChoice) -> Iterator[Engine]:
    """Yield the programs that other packages add; reads every installed package's metadata."""
    if choice != "embedded":
        for path, source in registered_programs():
            yield Engine("binary", (path,), source)


def engine_with(flag: str) -> str:
    """Return how to use an installed engine that has ``flag``, as a remedy; else: another build."""
    for engine in installed_engines("auto", os.environ):
        with suppress(EngineNotFound, OSError):
            if flag in engine.flags():
                named = "engine='embedded'"
                if engine.kind == "binary":
                    named = f"server_path={engine.argv[0]!r}"
                return f"{named}, which has it"
    return "another build (server_path=, engine='binary')"


def none_installed(choice: EngineChoice) -> EngineNotFound:
    """Return the error that says that no engine of that kind is installed, and what to do."""
    wanted = {"binary": "llama-server", "embedded": "package xllamacpp"}.get(choice)
    return EngineNotFound(f"no {wanted or 'llama.cpp engine'} found. {_REMEDY}")


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("xllamacpp")
    except metadata.PackageNotFoundError:
        return "of an unknown version"


def _explicit(path: Path, source: str) -> Path:
    path = expanded(path)
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


def _packaged() -> Iterator[Engine]:
    for path, source in installed_programs():
        yield Engine("binary", (path,), source)


@functools.lru_cache(maxsize=8)
def _read_help(argv: tuple[str, ...], mtime: int, size: int) -> _Help:
    """Return the flags and the types of KV cache that ``--help`` names."""
    del mtime, size  # only part of the cache key: a rebuilt program is run again
    try:
        done = run_bounded([*argv, "--help"], os.environ, _HELP_TIMEOUT, _MAX_HELP)
    except OSError as error:
        other = error.errno == errno.ENOEXEC
        raise EngineNotFound(
            f"{argv[0]} cannot be run: {_OTHER_PLATFORM if other else error}"
        ) from error
    if done.returncode is None:
        why = f"--help took longer than {_HELP_TIMEOUT:g} s, or printed more than {_MAX_HELP} bytes"
        raise EngineNotFound(f"{argv[0]} cannot be run: {why}")
    text = done.stdout.decode("utf-8", "replace")
    if "--model" not in text:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:] if done.returncode else ""
        if found := _C_LIBRARY.search(said):
            raise EngineNotFound(
                f"{argv[0]} cannot be run: it is made for a newer system ({found[0]} is not here). "
                "Use a build for this one; llama-rocm setup says which fits."
            )
        raise EngineNotFound(
            f"{argv[0]} is no llama-server: its --help names no --model (it exited with "
            f"{done.returncode}{': ' if said else ''}{said}). Give the path of a llama-server, or "
            f"unset server_path and {PATH_VARIABLE} to use the one that is found."
        )
    heads = "\n".join(line[:80] for line in text.splitlines() if line.startswith("-"))
    types = _CACHE_TYPES.search(text)
    flags = frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", heads))
    return flags, tuple(re.findall(r"\w+", types[1])) if types else ()
