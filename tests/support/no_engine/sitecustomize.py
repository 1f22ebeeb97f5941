"""Refuses to start a real engine while a test without the mark ``engine`` runs.

``tests.conftest`` imports this module and puts its folder on ``PYTHONPATH``: Python imports a
``sitecustomize`` at its start (docs of ``site``), so the programs that such a test starts refuse
as well. What was refused is also written to a file: whatever swallows the error, the test fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

# The file; unset, everything is allowed.
VARIABLE = "TESTS_WITHOUT_ENGINE"
_EMBEDDED = "embedded_start.py"


class EngineStarted(Exception):
    """A test without the mark ``engine`` starts one."""


def starts_engine(argv: Iterable[str | bytes | os.PathLike[str]]) -> bool:
    """Whether a real llama.cpp is among the words of a command, or behind a script among them."""
    return any(_is_engine(os.fsdecode(word)) for word in argv)


def _is_engine(word: str) -> bool:
    name = os.path.basename(word)  # noqa: PTH119
    if name == _EMBEDDED:
        return True
    if name not in ("llama-server", "llama-server.exe"):
        return False
    try:
        with open(word, "rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    # A script plays an engine, unless it runs one.
    return not head.startswith(b"#!") or starts_engine(head.decode("utf-8", "replace").split()[1:])


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        argv = [args[1]] if isinstance(args[1], (str, bytes)) else [*args[1]]
        refused = " ".join(map(os.fsdecode, argv)) if starts_engine(argv) else ""
    elif event == "os.exec":
        refused = " ".join(map(os.fsdecode, args[1])) if starts_engine(args[1]) else ""
    elif event == "import":
        refused = "import xllamacpp" if args[0] == "xllamacpp" else ""
    else:
        return
    if refused and (log := os.environ.get(VARIABLE)):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{refused}\n")
        raise EngineStarted(f"{refused}: mark this test with pytest.mark.engine")


sys.addaudithook(_watch)
