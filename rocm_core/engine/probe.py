"""Find out what an engine can do: version, flags, GPU backends, devices, GPU targets.

What the files say is cached by path and time of change. Devices are listed anew each time, by a
process of their own: a driver that crashes there is a result, and harms no other process.
"""

from __future__ import annotations

import functools
import importlib.util
import mmap
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rocm_core.diagnosis.explain import Failure, describe_exit, error_lines, explain_failure
from rocm_core.engine.locate import Engine
from rocm_core.engine.offload_bundles import gfx_targets, rocblas_targets

_TIMEOUT = 60.0
# llama.cpp's names of backends and devices, and their common names.
_BACKENDS = {
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
# A static build is recognized by the driver library that it links.
_LINKED = (
    (b"libamdhip64.so", "HIP"),
    (b"amdhip64", "HIP"),
    (b"libcudart.so", "CUDA"),
    (b"libcuda.so", "CUDA"),
    (b"libvulkan.so", "Vulkan"),
)
_LIBRARY = re.compile(r"^(?:lib)?ggml-([a-z]+)[\w.-]*\.(?:so|dll|dylib)")
_DEVICE = re.compile(r"^\s+(\S+?):\s+(.+?)\s+\((\d+) MiB, (\d+) MiB free\)")
_GFX_LINE = re.compile(r"Device\s+(\d+):.*,\s+(gfx[0-9a-f]+)")
_LOADED = re.compile(r"load_backend: loaded (\w+) backend from (.+)$")
_VERSION = re.compile(r"^version: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that the engine lists.

    Attributes:
        name: llama.cpp's name, for ``--device``: ``ROCm0``, ``Vulkan0``, ``CUDA0``.
        backend: ``HIP``, ``Vulkan``, ``CUDA``, … or the part of ``name`` before the number.
        description: name of the card.
        total_mib, free_mib: memory in MiB.
        gfx: the GPU's target (``gfx1100``), where a HIP build prints it.
    """

    name: str
    backend: str
    description: str
    total_mib: int
    free_mib: int
    gfx: str | None = None


State = Literal["gpu", "no_device", "cpu_only", "broken"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do.

    Attributes:
        version: the version that it prints; ``None`` if it prints none.
        flags: the flags that it understands.
        backends: its GPU backends, usable or not; empty for a CPU build.
        devices: the GPUs that it sees now.
        gfx_targets: GPU targets that a HIP build has code for; ``None``: not HIP, or unknown.
        rocblas_targets: GPU targets of the rocBLAS beside it; ``None``: none beside it.
        failure: why it could not list its devices, or sees none.
        crashed: whether it crashed, or had to be killed, while it listed its devices.
    """

    version: str | None
    flags: frozenset[str]
    backends: tuple[str, ...]
    devices: tuple[Device, ...]
    gfx_targets: frozenset[str] | None
    rocblas_targets: frozenset[str] | None
    failure: Failure | None
    crashed: bool

    @property
    def state(self) -> State:
        """``gpu``: it sees a GPU. ``no_device``: it could use one, but sees none. ``cpu_only``: it
        has no GPU backend. ``broken``: it does not run, or crashes while it lists devices."""
        if self.crashed:
            return "broken"
        if self.devices:
            return "gpu"
        return "no_device" if self.backends else "cpu_only"


def capabilities(
    engine: Engine, env: Mapping[str, str] | None = None, timeout: float = _TIMEOUT
) -> Capabilities:
    """Run an engine to find out what it can do.

    Args:
        engine: see ``locate.find_engine``.
        env: environment of the process that lists the devices (masks); default: this process's.
        timeout: seconds for that process; the first use of a sleeping GPU takes long.

    Raises:
        EngineNotFound: the program cannot be run at all.
    """
    flags = engine.flags()
    build = _build(engine.argv, *_file_facts(engine))
    if "--list-devices" not in flags:
        return _combine(flags, build, "", None, crashed=False)
    output, code = _run(engine.argv, "--list-devices", env, timeout)
    failure = _failure(output, code, timeout)
    return _combine(flags, build, output, failure, crashed=code != 0)


def gpu_backends(engine: Engine) -> tuple[str, ...]:
    """Return the GPU backends that the engine's files have; runs nothing."""
    return _files(*_file_facts(engine))[0]


def needs_kfd(engine: Engine) -> bool:
    """Whether an engine needs the kernel's compute driver (``/dev/kfd``); runs nothing.

    HIP does, except in WSL (``/dev/dxg``); Vulkan and CUDA do not.
    """
    backends = gpu_backends(engine)
    return not backends or ("HIP" in backends and not Path("/dev/dxg").exists())


def build_targets(engine: Engine) -> frozenset[str] | None:
    """Return the GPU targets that a HIP engine has code for; ``None``: not HIP, or unknown."""
    carrier = _files(*_file_facts(engine))[1]
    return gfx_targets(carrier) if carrier else None


def parse_devices(output: str) -> tuple[Device, ...]:
    """Return the GPUs in the output of ``--list-devices`` (llama.cpp ``common/arg.cpp``).

    Pseudo-devices without memory (BLAS) are left out.
    """
    gfx = {int(number): name for number, name in _GFX_LINE.findall(output)}
    found = []
    for line in output.splitlines():
        if (match := _DEVICE.match(line)) and int(match[3]) > 0:
            kind = match[1].rstrip("0123456789")
            number = match[1][len(kind) :]
            backend = _BACKENDS.get(kind.lower(), kind)
            target = gfx.get(int(number or 0)) if backend == "HIP" else None
            found.append(Device(match[1], backend, match[2], int(match[3]), int(match[4]), target))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Build:
    """What an engine's files and ``--version`` say."""

    version: str | None
    backends: tuple[str, ...]
    gfx_targets: frozenset[str] | None
    rocblas_targets: frozenset[str] | None


# -- the running program ---------------------------------------------------------------------


def _run(
    argv: Sequence[str], flag: str, env: Mapping[str, str] | None, timeout: float
) -> tuple[str, int | None]:
    """Return output and exit code; the code is ``None`` if the process had to be killed."""
    variables = {k: v for k, v in (env or os.environ).items() if not k.startswith("LLAMA_")}
    try:
        done = subprocess.run(
            [*argv, flag],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            env=variables,
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode("utf-8", "replace"), None
    except OSError as error:
        return str(error), 127
    return done.stdout.decode("utf-8", "replace"), done.returncode


def _failure(output: str, code: int | None, timeout: float) -> Failure | None:
    lines = output.splitlines()
    if known := explain_failure(lines, code):
        return known
    if code == 0:
        return None
    if code is None:
        return Failure(
            "devices_timeout",
            f"looking for devices took longer than {timeout:g} s: the driver or the GPU hangs",
            "look at dmesg; update kernel and firmware; keep the GPU out with ROCR_VISIBLE_DEVICES",
            lines[-1] if lines else "",
        )
    said = error_lines(lines)
    return Failure(
        "devices_crash",
        f"looking for devices {describe_exit(code)}" + (f" ({said[-1]})" if said else ""),
        "an integrated GPU that the build does not know is the usual cause: choose the card with "
        "devices=, or set ROCR_VISIBLE_DEVICES to it",
        said[-1] if said else "",
    )


def _combine(
    flags: frozenset[str], build: _Build, output: str, failure: Failure | None, *, crashed: bool
) -> Capabilities:
    devices = parse_devices(output)
    loaded = _LOADED.findall(output)
    reported = [_BACKENDS.get(name.lower()) for name, _ in loaded]
    seen = dict.fromkeys([*build.backends, *(d.backend for d in devices), *filter(None, reported)])
    targets = build.gfx_targets
    for name, path in loaded:
        if targets is None and _BACKENDS.get(name.lower()) == "HIP":
            targets = gfx_targets(Path(path.strip()))
    return Capabilities(
        build.version,
        flags,
        tuple(seen),
        devices,
        targets,
        build.rocblas_targets,
        failure,
        crashed,
    )


# -- the files -------------------------------------------------------------------------------


def _file_facts(engine: Engine) -> tuple[str, int, int]:
    # The times are only part of the cache key: a rebuilt program is examined again.
    path = Path(engine.argv[0]).resolve()
    if engine.kind == "embedded":
        package = importlib.util.find_spec("xllamacpp")
        folder = Path(package.origin).parent if package and package.origin else Path()
        path = next(iter(sorted(folder.glob("xllamacpp*.so"))), folder)
    stat = path.stat()
    return str(path), stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=8)
def _build(argv: tuple[str, ...], program: str, mtime: int, size: int) -> _Build:
    backends, carrier = _files(program, mtime, size)
    version = _VERSION.search(_run(argv, "--version", None, _TIMEOUT)[0])
    return _Build(
        version[1].strip() if version else None,
        backends,
        gfx_targets(carrier) if carrier else None,
        rocblas_targets(Path(program).parent),
    )


@functools.lru_cache(maxsize=8)
def _files(program: str, mtime: int, size: int) -> tuple[tuple[str, ...], Path | None]:
    """Return the GPU backends of the files, and the file with the HIP backend's GPU code."""
    del mtime, size
    path = Path(program)
    libraries = _libraries(path.parent)
    backends = tuple(dict.fromkeys([*libraries, *_linked(path)]))
    return backends, libraries.get("HIP") or (path if "HIP" in backends else None)


def _libraries(directory: Path) -> dict[str, Path]:
    """Find ``libggml-<backend>`` beside the program, as ``ggml-backend-reg.cpp`` does."""
    found: dict[str, Path] = {}
    for path in sorted(directory.glob("*ggml-*")):
        name = _LIBRARY.match(path.name)
        if name and name[1] in _BACKENDS:
            found.setdefault(_BACKENDS[name[1]], path)
    return found


def _linked(program: Path) -> list[str]:
    try:
        with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
            return [name for needle, name in _LINKED if m.find(needle) >= 0]
    except (OSError, ValueError):  # unreadable, or empty (which cannot be mapped)
        return []
