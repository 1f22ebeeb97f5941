"""Start a module of ours in a Python of its own, without the working directory on its path.

    python …/rocm_core/engine/embedded_start.py ARGUMENTS      the embedded engine

A file, because ``python -m`` puts the working directory on the path (``-P`` against that came with
3.11), where any ``json.py`` would be imported, and warns about a package that imports its own
program (``runpy``). Of a file Python puts the directory on the path (not with PYTHONSAFEPATH); this
one takes it off again. ``shared/daemon_start.py`` does the same.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # nothing but the two is imported before the path is right
if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
_ROOT = os.path.dirname(os.path.dirname(_HERE))  # noqa: PTH120


ELSEWHERE = os.path.abspath(os.sep)  # noqa: PTH100
"""Where a process starts instead of in our working directory: ggml loads back ends from its own
(``ggml_backend_load_best`` in ``ggml-backend-reg.cpp``), and a folder may bring one along."""

_SEARCHED = ("PYTHONPATH", "LD_LIBRARY_PATH")
_NAMED = ("LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "GGML_BACKEND_PATH")


def python_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for such a process: no part of a search path means where it starts.

    An empty part does (``PYTHONPATH=$PYTHONPATH:/mine`` where none was set); ``./`` as well. Other
    relative paths become absolute, because it starts ``ELSEWHERE``.
    """
    found = dict(inherited)
    for name in (name for name in _SEARCHED if name in found):
        parts = map(os.path.normpath, found[name].split(os.pathsep))  # of an empty one: "."
        kept = (part for part in parts if part != os.curdir)
        found[name] = os.pathsep.join(map(os.path.abspath, kept))
        if not found[name]:
            del found[name]
    return found | {
        name: os.path.abspath(os.path.expanduser(found[name]))  # noqa: PTH100, PTH111
        for name in _NAMED
        if found.get(name)
    }


if __name__ == "__main__":
    if sys.path and os.path.abspath(sys.path[0]) == _HERE:  # noqa: PTH100
        del sys.path[0]
    if _ROOT not in sys.path:  # the program that starts us found the package in its own way
        sys.path.insert(0, _ROOT)
    from rocm_core.engine.embedded_server import main

    raise SystemExit(main())
