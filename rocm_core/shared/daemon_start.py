"""Start the daemon of a shared server: ``python …/rocm_core/shared/daemon_start.py ARGUMENTS``.

A file for the reasons that ``engine/embedded_start.py`` gives.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
_ROOT = os.path.dirname(os.path.dirname(_HERE))  # noqa: PTH120

if __name__ == "__main__":
    if sys.path and os.path.abspath(sys.path[0]) == _HERE:  # noqa: PTH100
        del sys.path[0]
    if _ROOT not in sys.path:
        sys.path.insert(0, _ROOT)
    from rocm_core.shared.daemon import main

    raise SystemExit(main(sys.argv[1:]))
