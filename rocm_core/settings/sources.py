"""Where settings come from: environment, ``.env``, and files. Reads them, remembers them.

    environment   LLAMA_ROCM_<OPTION>; aliases LLAMA_URL, ROCM_LLAMA_SERVER_PATH, ROCM_MODEL_DIR
    .env          the same names, beside the project's file
    project file  llama-rocm.toml | .yaml | .yml | .json: in the working directory, or above it
                  up to the project's root (where .git or pyproject.toml is)
    user's file   the same names in $XDG_CONFIG_HOME/llama-rocm (~/.config; %APPDATA% on Windows)

``LLAMA_ROCM_CONFIG`` names a file to read instead of the project's. A file that belongs to another
user is not read unless it is named so. What a project's file says of programs, code and keys counts
after ``llama-rocm trust`` (``trust``).
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rocm_core.config.option import expanded
from rocm_core.errors import ConfigError
from rocm_core.settings.effective import Settings
from rocm_core.settings.names import (
    ALIASES,
    CONFIG_VARIABLE,
    ENVIRONMENT,
    PREFIX,
    PROJECT,
    USER,
)

_NAMES = tuple(f"llama-rocm.{suffix}" for suffix in ("toml", "yaml", "yml", "json"))
_ROOT_MARKS = (".git", "pyproject.toml")

Stamp = tuple[object, ...]


class Source(NamedTuple):
    """A file of settings, and how far its place is trusted by itself (``settings.names``)."""

    path: Path
    level: int


_lock = threading.Lock()
_remembered: tuple[Stamp, Settings] | None = None


def current_settings(*, complete: bool = False, files: bool = True) -> Settings:
    """The settings as they are now; read anew when the environment or a file has changed.

    Args:
        complete: with the aliases that ``find_engine`` and ``resolve_ref`` read for themselves,
            even if nothing else is set.
        files: whether to read files; without, those of the environment, and no I/O.

    Raises:
        ConfigError: a file cannot be read, or a key or value is wrong; the message names the
            source.
    """
    global _remembered
    variables = relevant(os.environ)
    if not files:
        return _read(variables, []) if any(map(_is_ours, variables)) else Settings()
    found = list(config_files(os.environ, _working_directory()))
    stamp: Stamp = (complete, tuple(variables.items()), *(_stamp(path) for path, _ in found))
    if any(level == PROJECT for _, level in found):
        stamp = (*stamp, _stamp(trust_file(os.environ)))
    with _lock:
        if _remembered is None or _remembered[0] != stamp:
            ours = complete or any(map(_is_ours, variables))
            if not (ours or any(_has_ours(path) for path, _ in found)):
                _remembered = (stamp, Settings())
            else:
                _remembered = (stamp, _read(variables, found))
        return _remembered[1]


def _read(variables: Mapping[str, str], files: list[Source]) -> Settings:
    from rocm_core.settings.reading import read  # imports a parser for each kind of file

    return read(variables, files, trust_file(os.environ))


def relevant(env: Mapping[str, str]) -> dict[str, str]:
    """The variables of ours that are set; an empty one is not."""
    return {
        name: value
        for name, value in sorted(env.items())
        if value and (name in ALIASES or (name.startswith(PREFIX) and name != CONFIG_VARIABLE))
    }


def _is_ours(variable: str) -> bool:
    return not variable.startswith("ROCM_")


def _has_ours(path: Path) -> bool:
    # Many programs keep a .env; most of them have nothing to do with us.
    return path.name != ".env" or b"LLAMA_" in (data := path.read_bytes()) or b"ROCM_" in data


def config_files(env: Mapping[str, str], cwd: Path | None) -> Iterator[Source]:
    """The files to read, the most important first: ``.env``, the project's, the user's.

    Args:
        env: environment variables.
        cwd: the working directory; ``None``: it was removed, so there is no project.

    Raises:
        ConfigError: the file that ``LLAMA_ROCM_CONFIG`` names does not exist, or a directory
            has two.
    """
    project = _project_directories(cwd) if cwd else []
    user = _file_in(user_directory(env))
    yield from [Source(p, PROJECT) for d in project if _is_ours_to_read(p := d / ".env")][:1]
    if named := env.get(CONFIG_VARIABLE):
        path = expanded(named)
        if not path.is_file():
            raise ConfigError(f"{CONFIG_VARIABLE} names {path}, which is no file")
        yield Source(path, ENVIRONMENT)
    elif (found := next(filter(None, map(_file_in, project)), None)) and found != user:
        yield Source(found, PROJECT)
    if user:
        yield Source(user, USER)


def trust_file(env: Mapping[str, str]) -> Path:
    """Where the projects' files are noted that the user trusts (``settings.trust``)."""
    return user_directory(env) / "trusted.json"


def user_directory(env: Mapping[str, str]) -> Path:
    """Where the user's own file is looked for."""
    if sys.platform == "win32" and env.get("APPDATA"):
        return Path(env["APPDATA"]) / "llama-rocm"
    # A relative one counts as not set (XDG Base Directory Specification).
    base = Path(env.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".config"
        except RuntimeError:  # a user without a home: no HOME, and no entry in passwd
            base = Path(os.devnull)
    return base / "llama-rocm"


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


def _project_directories(cwd: Path) -> list[Path]:
    """The working directory, and those above it if a project's root is among them."""
    above = [cwd, *cwd.parents]
    for depth, directory in enumerate(above):
        if any((directory / mark).exists() for mark in _ROOT_MARKS):
            return above[: depth + 1]
    return [cwd]


def _file_in(directory: Path) -> Path | None:
    found = [path for name in _NAMES if _is_ours_to_read(path := directory / name)]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ConfigError(f"{directory} has {names}: keep one of them")
    return found[0] if found else None


def _is_ours_to_read(path: Path) -> bool:
    """Whether it exists and nobody else has written it."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return False
    if not path.is_file():
        return False
    if hasattr(os, "getuid") and owner not in (os.getuid(), 0):
        warnings.warn(
            f"{path} is not read: it belongs to another user. If you trust it, set "
            f"{CONFIG_VARIABLE}={path}",
            stacklevel=2,
        )
        return False
    return True


def _stamp(path: Path) -> Stamp:
    try:
        facts = path.stat()
    except OSError:
        return (str(path),)
    return str(path), facts.st_mtime_ns, facts.st_size
