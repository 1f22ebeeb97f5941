"""Say which extra of llama-rocm a missing package belongs to, before anything is imported."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in ``rocm_core``
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec


def require(module: str, needed_by: str, command: str) -> None:
    """Raise unless ``module`` can be found; imports nothing.

    Args:
        module: name of a module, at most one dot deep (``llama_index.core``).
        needed_by: what of ours cannot do without it.
        command: what installs it. pip takes ``llama-rocm[…]`` from the installed llama-rocm, so it
            is the same for an installation from a clone.

    Raises:
        ImportError: it is not installed; the text has the command.
    """
    if module in sys.modules:
        return
    found = _find(module.partition(".")[0], None)
    if found is not None and "." in module:
        found = _find(module, found.submodule_search_locations)
    if found is None:
        raise ImportError(
            f"{needed_by} needs {module}, which is not installed: {command}", name=module
        )


# importlib.util.find_spec would import the parent of a dotted name.
def _find(name: str, path: Iterable[str] | None) -> ModuleSpec | None:
    places = list(path) if path is not None else None
    specs = (finder.find_spec(name, places) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)
