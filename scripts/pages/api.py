"""The texts of ``docs/reference/api/``: every public name, for mkdocstrings to describe."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator

_HEAD = """\
# {package}

<!-- Generated from {package}.__all__ by `python -m scripts.generate`; change it there. -->

{what} The documentation site shows each name's arguments, results and errors, from its docstring.
"""
PACKAGES = {
    "rocm_core": "Models, servers, clients, GPUs and files, without any framework.",
    "langchain_rocm": "LangChain's classes.",
    "llama_index_rocm": "LlamaIndex's classes.",
}


# Modules whose names nobody imports from the package itself.
_MODULES = {
    "rocm_core": ("rocm_core.errors",),
    "langchain_rocm": ("langchain_rocm.errors", "langchain_rocm.middleware"),
    "llama_index_rocm": (),
}


def api_page(package: str) -> Callable[[], str]:
    """Return what writes ``docs/reference/api/PACKAGE.md``."""
    return lambda: _HEAD.format(package=package, what=PACKAGES[package]) + "".join(_names(package))


def _names(package: str) -> Iterator[str]:
    module = importlib.import_module(package)
    for name in sorted(module.__all__, key=str.lower):
        found = getattr(module, name)
        words = (inspect.getdoc(found) or "").partition("\n\n")[0].replace("\n", " ")
        yield f"\n## {name}\n\n{words}\n\n::: {found.__module__}.{found.__qualname__}\n"
    for other in _MODULES[package]:
        yield f"\n## {other}\n\n::: {other}\n"
