"""Start the embedded engine: ``python …/rocm_core/engine/embedded_start.py ARGUMENTS``.

A file, because ``python -m`` puts the working directory on the path, where any ``json.py`` would be
imported, and warns about a package that imports its own program (``runpy``). Of a file Python puts
the directory on the path (not with PYTHONSAFEPATH); this one takes it off again.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
_ROOT = os.path.dirname(os.path.dirname(_HERE))  # noqa: PTH120

if __name__ == "__main__":
    if sys.path and os.path.abspath(sys.path[0]) == _HERE:  # noqa: PTH100
        del sys.path[0]
    if _ROOT not in sys.path:  # the program that starts us found the package in its own way
        sys.path.insert(0, _ROOT)
    from rocm_core.engine.embedded_server import main

    raise SystemExit(main())
