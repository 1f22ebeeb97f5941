"""The IPython that runs this program, and who reads what it shows."""

from __future__ import annotations

import sys
from typing import Any


def running_shell() -> Any:
    """Return IPython's shell if this program runs in one, else ``None``; imports nothing."""
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return find() if find is not None else None


def is_kernel(shell: Any) -> bool:
    """Return whether ``shell`` is a Jupyter kernel's, rather than IPython's in a terminal."""
    return getattr(shell, "kernel", None) is not None


def is_watched(shell: Any) -> bool:
    """Return whether somebody looks at the output while it comes.

    A frontend with a person before it lets a cell ask for input (``allow_stdin`` of the request,
    Jupyter's messaging protocol); nbclient, and with it nbconvert and papermill, does not.
    """
    if not is_kernel(shell):
        return sys.stderr is not None and sys.stderr.isatty()
    try:
        content = shell.get_parent().get("content", {})
    except (AttributeError, LookupError):
        return False
    return bool(content.get("allow_stdin"))
