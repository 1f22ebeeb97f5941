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


def python_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for such a Python: in PYTHONPATH nothing stands for where it starts.

    An empty part does (``PYTHONPATH=$PYTHONPATH:/mine`` where none was set); ``.`` as well.
    """
    parts = inherited.get("PYTHONPATH", "").split(os.pathsep)
    kept = os.pathsep.join(part for part in parts if part not in ("", os.curdir))
    rest = {name: value for name, value in inherited.items() if name != "PYTHONPATH"}
    return {**rest, "PYTHONPATH": kept} if kept else rest


if __name__ == "__main__":
    if sys.path and os.path.abspath(sys.path[0]) == _HERE:  # noqa: PTH100
        del sys.path[0]
    if _ROOT not in sys.path:  # the program that starts us found the package in its own way
        sys.path.insert(0, _ROOT)
    from rocm_core.engine.embedded_server import main

    raise SystemExit(main())
