"""Magics for Jupyter and IPython: ``%load_ext rocm_core.notebook``.

    %rocm_ps             the servers of this kernel, and the shared ones
    %rocm_top [SECONDS]  GPUs and servers, drawn live while other cells run; %rocm_top stop ends it
    %%rocm MODEL         answers the cell's text, streamed; options as name=value

Without the extension a load shows its progress, an interrupt and an error a short traceback, and
models, servers, GPUs and reports a table: see ``rocm_core.display``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to a shell; IPython calls this for ``%load_ext``."""
    from rocm_core.notebook.magics import RocmMagics

    shell.register_magics(RocmMagics(shell))


def unload_ipython_extension(shell: Any) -> None:
    """Remove them, close the models of ``%%rocm`` and end the live plots."""
    from rocm_core.notebook.magics import RocmMagics

    magics = shell.magics_manager.registry.pop(RocmMagics.__name__, None)
    if magics is None:
        return
    magics.close()
    for kind in ("line", "cell"):
        for name in RocmMagics.names[kind]:
            shell.magics_manager.magics[kind].pop(name, None)
