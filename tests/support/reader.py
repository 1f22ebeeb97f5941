"""Run blocks of Python as a reader would who has installed some packages and not others.

Started as a program of its own; standard input is JSON, a list of blocks: place, text, and the
modules that are not there yet. They share one namespace, like the cells of a notebook.
"""

from __future__ import annotations

import json
import sys
import types
from typing import Any


class Hiding:
    """A finder of modules that does not find some."""

    def __init__(self, finder: Any, hidden: set[str]) -> None:
        self._finder, self._hidden = finder, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return what the finder finds, unless it is hidden."""
        if name.partition(".")[0] in self._hidden:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def main() -> None:
    """Run the blocks of standard input."""
    hidden: set[str] = set()
    sys.meta_path[:] = [Hiding(finder, hidden) for finder in sys.meta_path]
    page = types.ModuleType("page")
    sys.modules["page"] = page
    for place, text, absent in json.load(sys.stdin):
        hidden.clear()
        hidden.update(absent)
        print(f"\n-- {place}", flush=True)
        exec(compile(text, place, "exec"), page.__dict__)


if __name__ == "__main__":
    main()
