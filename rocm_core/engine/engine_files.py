"""Find out what an engine's files say: GPU backends, GPU code. Reads files, runs nothing.

Cached by path and time of change: a rebuilt program is examined again.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from rocm_core.engine.locate import Engine
from rocm_core.engine.offload_bundles import gfx_targets

# llama.cpp's names of backends and devices, and their common names.
BACKENDS = {
    "hip": "HIP",
    "rocm": "HIP",
    "cuda": "CUDA",
    "vulkan": "Vulkan",
    "sycl": "SYCL",
    "metal": "Metal",
    "mtl": "Metal",
    "musa": "MUSA",
    "cann": "CANN",
    "opencl": "OpenCL",
}
# A static build is recognized by the driver library that it links. Wheels bring some of them along
# under another name: auditwheel makes libvulkan.so.1 libvulkan-1a2b3c4d.so.1.
_LINKED = (
    (b"libamdhip64.so", "HIP"),
    (b"amdhip64", "HIP"),
    (b"libcudart.so", "CUDA"),
    (b"libcudart-", "CUDA"),
    (b"libcuda.so", "CUDA"),
    (b"nvcuda.dll", "CUDA"),
    (b"libvulkan.so", "Vulkan"),
    (b"libvulkan-", "Vulkan"),
    (b"vulkan-1.dll", "Vulkan"),
)
_LIBRARY = re.compile(r"^(?:lib)?ggml(?:-([a-z]+))?[\w.-]*\.(?:so|dll|dylib)")
_PART = re.compile(r"^(?:lib)?(?:ggml|llama|mtmd)[\w.-]*\.(?:so|dll|dylib)")
# The parts of ggml that are no GPU backend; ``rpc`` reaches other machines.
_NO_GPU = ("base", "cpu", "blas", "rpc")
# What a program contains that leaves ggml to a library; none beside it: the library is elsewhere.
_ELSEWHERE = (b"libggml", b"libllama")

_CAUSAL = b"llama_get_causal_attn"

# Bytes that are read at once, and how many of them belong to the next piece as well: more than the
# longest text that is looked for.
_BLOCK, _LONGEST = 1 << 20, 64

# Path, time of change and size of the file that has the engine.
FileFacts = tuple[str, int, int]


def gpu_backends(engine: Engine) -> tuple[str, ...]:
    """Return the GPU backends that the engine's files have; runs nothing."""
    return backend_files(*file_facts(engine))[0]


def build_targets(engine: Engine) -> frozenset[str] | None:
    """Return the GPU targets that a HIP engine has code for; ``None``: not HIP, or unknown.

    Goes by the engine's files, and runs nothing.
    """
    carrier = backend_files(*file_facts(engine))[1]
    return gfx_targets(carrier) if carrier else None


def file_facts(engine: Engine) -> FileFacts:
    """Return the file that has the engine, and what changes when it is rebuilt."""
    path = Path(engine.argv[0]).resolve()
    if engine.kind == "embedded":
        package = importlib.util.find_spec("xllamacpp")
        folder = Path(package.origin).parent if package and package.origin else Path()
        path = next(iter(sorted(folder.glob("xllamacpp*.so"))), folder)
    stat = path.stat()
    return str(path), stat.st_mtime_ns, stat.st_size


def build_files(engine: Engine) -> list[FileFacts]:
    """Return the files that make up the engine's build: the program, and the libraries beside it.

    Another list is another build, also at the same path: an upgrade, or one library replaced. Empty
    if the engine is gone. Of a script only itself counts.
    """
    try:
        carrier = file_facts(engine)
        libraries = [path for path in Path(carrier[0]).parent.iterdir() if _PART.match(path.name)]
        stats = [(str(path), path.stat()) for path in sorted(libraries) if str(path) != carrier[0]]
    except OSError:
        return []
    return [carrier, *((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)]


def splits_ranks(engine: Engine) -> bool:
    """Return whether the engine computes inputs of causal rerankers in pieces; runs nothing.

    Builds that do ask llama.cpp for ``llama_get_causal_attn``, a function that was made for this
    (llama.cpp #28876; b11434 has it, b11063 does not). False if no file has its name, as in a
    program that was linked statically and stripped.
    """
    return any(_has_function(*file) for file in build_files(engine))


@functools.lru_cache(maxsize=32)
def _has_function(program: str, mtime: int, size: int) -> bool:
    del mtime, size
    try:
        return any(_CAUSAL in block for block in _blocks(Path(program)))
    except OSError:
        return False


@functools.lru_cache(maxsize=8)
def backend_files(program: str, mtime: int, size: int) -> tuple[tuple[str, ...], Path | None]:
    """Return the GPU backends of the files, and the file with the HIP backend's GPU code."""
    del mtime, size
    path = Path(program)
    libraries = _libraries(path.parent)
    backends = tuple(dict.fromkeys([*libraries, *_linked(path)]))
    return backends, libraries.get("HIP") or (path if "HIP" in backends else None)


@functools.lru_cache(maxsize=8)
def tell_all(program: str, mtime: int, size: int) -> bool:
    """Return whether the files have all of llama.cpp, so that no GPU backend is elsewhere."""
    del mtime, size
    path = Path(program)
    names = (file.name for file in _ggml_files(path.parent))
    parts = [found[1] for name in names if (found := _LIBRARY.match(name))]
    if parts:
        return all(part is None or part in BACKENDS or part in _NO_GPU for part in parts)
    try:
        has_ggml = False
        for number, block in enumerate(_blocks(path)):
            script = number == 0 and block.startswith(b"#!")
            if script or any(name in block for name in _ELSEWHERE):
                return False
            has_ggml = has_ggml or b"ggml" in block
        return has_ggml
    except OSError:
        return False


def _libraries(directory: Path) -> dict[str, Path]:
    """Find ``libggml-<backend>`` beside the program, as ``ggml-backend-reg.cpp`` does."""
    found: dict[str, Path] = {}
    for path in _ggml_files(directory):
        name = _LIBRARY.match(path.name)
        if name and name[1] in BACKENDS:
            found.setdefault(BACKENDS[name[1]], path)
    return found


def _ggml_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*ggml*"))


def _linked(program: Path) -> list[str]:
    found: set[str] = set()
    try:
        for block in _blocks(program):
            found.update(name for needle, name in _LINKED if needle in block)
    except OSError:  # unreadable
        return []
    return [name for _, name in _LINKED if name in found]


def _blocks(path: Path) -> Iterator[bytes]:
    """Read a file in pieces, each beginning with the end of the one before.

    Builds have 100 MB and more; mapped, all of it would count as this program's memory.
    """
    end = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield end + block
            end = block[-_LONGEST:]
