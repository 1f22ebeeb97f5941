"""The last start that failed, in a small file of the user's: ``llama-rocm doctor`` asks for it.

    $XDG_STATE_HOME/llama-rocm/last_failed_start.json     mode 0600; else below ~/.local/state

A start that fails replaces it, and a start of the same model that succeeds removes it. It never
stands in the way: without a home, or without space, nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rocm_core.errors import ServerError

_FILE = Path("llama-rocm") / "last_failed_start.json"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class FailedStart:
    """A start that failed.

    Attributes:
        time: when, in seconds since 1970.
        model: name of the model.
        error: class of the error.
        cause, remedy: of the known failure; empty if none explains it.
        returncode: exit code, or minus the signal number.
        log: the last lines that the process printed.
    """

    time: float
    model: str
    error: str
    cause: str
    remedy: str
    returncode: int | None
    log: list[str]


def remember(model: str, error: BaseException, env: Mapping[str, str] = os.environ) -> None:
    """Keep a failed start, if it is one of a process; whatever was kept before is replaced."""
    if not isinstance(error, ServerError) or not (error.cause or error.log_tail):
        return
    said = [line[:2000] for line in error.log_tail]
    start = FailedStart(
        time.time(),
        model,
        type(error).__name__,
        error.cause,
        error.remedy,
        error.returncode,
        said,
    )
    with contextlib.suppress(OSError, RuntimeError):
        _replace(_path(env), json.dumps(asdict(start), indent=1))


def forget(model: str, env: Mapping[str, str] = os.environ) -> None:
    """Remove what is kept of a model: it has started since."""
    with contextlib.suppress(OSError, RuntimeError):
        if _path(env).exists() and (kept := last_failed_start(env)) and kept.model == model:
            _path(env).unlink()


def last_failed_start(env: Mapping[str, str] = os.environ) -> FailedStart | None:
    """Return the last start that failed; ``None`` if none is known, or its file is damaged."""
    try:
        with _path(env).open(encoding="utf-8") as file:
            return _checked(FailedStart(**json.loads(file.read(_MAX_BYTES))))
    except (OSError, RuntimeError, ValueError, TypeError):
        return None


def _checked(start: FailedStart) -> FailedStart:
    words = (start.model, start.error, start.cause, start.remedy, *start.log)
    if not all(isinstance(word, str) for word in words):
        raise TypeError("not what remember() writes")
    if not isinstance(start.time, (int, float)):
        raise TypeError("not a time")
    if not isinstance(start.returncode, (int, type(None))):
        raise TypeError("not an exit code")
    return start


def _path(env: Mapping[str, str]) -> Path:
    state = env.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / _FILE


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
