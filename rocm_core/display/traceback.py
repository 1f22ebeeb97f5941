"""A traceback as short as a reader of a notebook needs it.

IPython asks an exception itself for its lines (``_render_traceback_``) before it makes some of its
own (``IPython/core/interactiveshell.py: showtraceback``). Ours name the lines of the reader's own
code, not the frames of frameworks and of this package; for an error of ours, cause and remedy.
``%xmode Verbose`` (or any mode but the default) shows what IPython shows.
"""

from __future__ import annotations

import functools
import linecache
import os
import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rocm_core.display.shell import running_shell
from rocm_core.terminal import visible

_BOLD, _RED, _GREEN, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[0m"
_GRAY = "\x1b[38;5;244m"  # one of the 256 colors: JupyterLab has no faint text
_ANY_COLOR = re.compile(r"\x1b\[[\d;]+m")
_MORE = "%xmode Verbose, then %tb, shows the whole traceback."
_OURS = ("rocm_core", "langchain_rocm", "llama_index_rocm")


def lines_of(error: BaseException) -> list[str]:
    """Return what IPython prints for ``error``, in lines."""
    shell = running_shell()
    if shell is not None and getattr(shell.InteractiveTB, "mode", "Context") != "Context":
        made: list[str] = shell.InteractiveTB.structured_traceback(
            type(error), error, error.__traceback__, tb_offset=1
        )
        return made
    return _colored(short(error, shell), shell)


def short_for_interrupt(error: BaseException) -> None:
    """Let IPython show an interrupt (Ctrl-C, a cancelled task) in a few lines."""
    error._render_traceback_ = functools.partial(_stopped, error)  # type: ignore[attr-defined]


def short(error: BaseException, shell: Any = None) -> list[str]:
    """Return name, the reader's own lines, message, cause and remedy of an error."""
    message, _, evidence = str(error).partition("\nCommand: ")
    message, _, log = message.partition("\nLast log lines:\n")
    lines = [f"{_BOLD}{_RED}{type(error).__name__}{_PLAIN}", *_places(error, shell), ""]
    lines += message.splitlines()
    for label, name in (("Cause", "cause"), ("Remedy", "remedy")):
        text = getattr(error, name, "")
        if text and text not in message:
            lines.append(f"{_BOLD}{label}:{_PLAIN} {visible(text)}")
    lines += [visible(note) for note in getattr(error, "__notes__", ())]
    more = [*(["Command: " + evidence] if evidence else []), *([log] if log else [])]
    lines += [f"{_GRAY}{line}{_PLAIN}" for text in more for line in text.splitlines()]
    return [*lines, f"{_GRAY}{_MORE}{_PLAIN}"]


def _stopped(error: BaseException) -> list[str]:
    shell = running_shell()
    if getattr(getattr(shell, "InteractiveTB", None), "mode", "Context") != "Context":
        return lines_of(error)
    head = f"{_BOLD}{_RED}{type(error).__name__}{_PLAIN}: the request was stopped"
    return _colored([head, *_places(error, shell), f"{_GRAY}{_MORE}{_PLAIN}"], shell)


def _colored(lines: list[str], shell: Any) -> list[str]:
    """Return the lines without colors where IPython's user turned them off (``%colors``)."""
    if str(getattr(shell, "colors", "")).lower() != "nocolor" and "NO_COLOR" not in os.environ:
        return lines
    return [_ANY_COLOR.sub("", line) for line in lines]


def _places(error: BaseException, shell: Any) -> Iterator[str]:
    """Yield the lines of code that are neither a library's nor ours, outermost first."""
    before = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        path = frame.f_code.co_filename
        if _is_installed(path) or (path, number) == before:  # a comprehension is a frame more
            continue
        before = (path, number)
        line = linecache.getline(path, number, frame.f_globals).strip()
        if line:  # compiled code has none
            yield f"  {_GREEN}{_name_of(path, shell)}, line {number}{_PLAIN}: {visible(line)}"


def _name_of(path: str, shell: Any) -> str:
    """Return ``Cell In[3]`` for the file that IPython gives a cell."""
    name = getattr(getattr(shell, "compile", None), "format_code_name", None)
    named = name(path) if name is not None else None
    return " ".join(named) if named else path


@functools.cache
def _folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    around = Path(__file__).parents[2]
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(f"{path}{os.sep}" for path in (*found, *(around / name for name in _OURS)))


def _is_installed(path: str) -> bool:
    return path.startswith(("<frozen ", *_folders())) or "site-packages" in path
