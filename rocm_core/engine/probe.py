"""What an engine can do: version, flags, GPU backends, the devices it sees, the GPUs it is for.

Facts of the files are cached by path and time of change. Devices are asked for anew, in a process
of their own: a driver that crashes there is a finding, and takes nothing else along.
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
# llama.cpp's names of backends and devices, and the one that people use.
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
# A static build is told by the driver library that it links.
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
    """A device that the engine computes on, by its own account.

    Attributes:
        name: as ``--device`` takes it: ``ROCm0``, ``Vulkan0``, ``CUDA0``.
        backend: ``HIP``, ``Vulkan``, ``CUDA``, … or the part of ``name`` before the number.
        description: the name of the card.
        total_mib, free_mib: memory.
        gfx: its target, where a HIP build prints it.
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
        version: as it prints it; ``None`` if it does not.
        flags: that it understands.
        backends: GPU backends that it has, usable or not; none in a CPU build.
        devices: GPUs that it sees now.
        gfx_targets: that a HIP build has code for; ``None``: not HIP, or it does not tell.
        rocblas_targets: that the rocBLAS beside it has kernels for; ``None``: none beside it.
        failure: why it could not list its devices, or sees none.
        crashed: it died (or had to be ended) when it was asked for its devices.
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
        """``gpu``: it sees one. ``no_device``: it could use one, but sees none. ``cpu_only``: it
        has no GPU backend. ``broken``: it does not run, or dies when it looks for devices."""
        if self.crashed:
            return "broken"
        if self.devices:
            return "gpu"
        return "no_device" if self.backends else "cpu_only"


def capabilities(
    engine: Engine, env: Mapping[str, str] | None = None, timeout: float = _TIMEOUT
) -> Capabilities:
    """Ask an engine what it can do.

    Args:
        env: environment to look for devices in (masks); default: this process's.
        timeout: seconds; the first touch of a sleeping GPU takes long.

    Raises:
        EngineNotFound: the program cannot be run at all.
    """
    flags = engine.flags()
    build = _build(engine.argv, *_identity(engine))
    if "--list-devices" not in flags:
        return _combined(flags, build, "", None, crashed=False)
    output, code = _run(engine.argv, "--list-devices", env, timeout)
    failure = _why_not(output, code, timeout)
    return _combined(flags, build, output, failure, crashed=code != 0)


def gpu_backends(engine: Engine) -> tuple[str, ...]:
    """GPU backends that the engine's files have; runs nothing."""
    return _files(*_identity(engine))[0]


def needs_kfd(engine: Engine) -> bool:
    """Whether it reaches GPUs through the kernel's compute driver: HIP does, outside of WSL
    (``/dev/dxg``); Vulkan and CUDA do not. Runs nothing."""
    backends = gpu_backends(engine)
    return not backends or ("HIP" in backends and not Path("/dev/dxg").exists())


def build_targets(engine: Engine) -> frozenset[str] | None:
    """GPU targets that a HIP engine has code for; ``None``: not HIP, or its files do not tell."""
    carrier = _files(*_identity(engine))[1]
    return gfx_targets(carrier) if carrier else None


def parse_devices(output: str) -> tuple[Device, ...]:
    """The GPUs in the output of ``--list-devices`` (llama.cpp ``common/arg.cpp``).

    Pseudo-devices without memory (BLAS) are none.
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
    """What the files say."""

    version: str | None
    backends: tuple[str, ...]
    gfx_targets: frozenset[str] | None
    rocblas_targets: frozenset[str] | None


# -- asking the program ----------------------------------------------------------------------


def _run(
    argv: Sequence[str], flag: str, env: Mapping[str, str] | None, timeout: float
) -> tuple[str, int | None]:
    """Output and exit code; ``None`` for one that had to be ended."""
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


def _why_not(output: str, code: int | None, timeout: float) -> Failure | None:
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


def _combined(
    flags: frozenset[str], build: _Build, output: str, failure: Failure | None, *, crashed: bool
) -> Capabilities:
    devices = parse_devices(output)
    loaded = _LOADED.findall(output)
    told = [_BACKENDS.get(name.lower()) for name, _ in loaded]
    seen = dict.fromkeys([*build.backends, *(d.backend for d in devices), *filter(None, told)])
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


# -- facts of the files ----------------------------------------------------------------------


def _identity(engine: Engine) -> tuple[str, int, int]:
    # The times are part of the cache key only: a rebuilt program is looked at again.
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
    """The backends that the files have, and the file with the GPU code of the HIP one."""
    del mtime, size
    path = Path(program)
    libraries = _libraries(path.parent)
    backends = tuple(dict.fromkeys([*libraries, *_linked(path)]))
    return backends, libraries.get("HIP") or (path if "HIP" in backends else None)


def _libraries(directory: Path) -> dict[str, Path]:
    """``libggml-<backend>`` beside the program, as ``ggml-backend-reg.cpp`` looks for them."""
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
