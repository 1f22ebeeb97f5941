"""Import ``httpx`` without its command line.

``httpx/__init__.py`` imports ``httpx._main`` if it can, and with it ``click``, ``rich`` and
``pygments`` where they are installed: 40 of the 95 ms of CPU time that ``import httpx`` takes then,
for a command that programs do not run. Every module of ours that needs ``httpx`` takes it from
here. For a program that has imported it before, nothing changes; ``httpx.main`` imports the command
when it is called.
"""

from __future__ import annotations

import sys
from typing import Any

_COMMAND = "httpx._main"
_unknown = "httpx" not in sys.modules and _COMMAND not in sys.modules

if _unknown:
    sys.modules[_COMMAND] = None  # type: ignore[assignment]  # "not to be found"
try:
    import httpx
finally:
    if _unknown:
        del sys.modules[_COMMAND]

__all__ = ["httpx"]


def _main(*args: Any, **options: Any) -> Any:
    from httpx._main import main

    return main(*args, **options)


if _unknown:
    httpx.main = _main  # type: ignore[assignment]  # callable, as the command is
