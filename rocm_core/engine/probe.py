"""Find out what an engine can do: version, flags, GPU backends, devices, GPU targets.

What the files say is cached by path and time of change. Devices are listed anew each time, by a
process of their own: a driver that crashes there is a result, and harms no other process.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rocm_core.engine.engine_files import (
    BACKENDS,
    FileFacts,
    backend_files,
    file_facts,
    tell_all,
)
from rocm_core.engine.installed.bounded import run_bounded
from rocm_core.engine.locate import Engine
from rocm_core.engine.offload_bundles import gfx_targets, rocblas_targets
from rocm_core.gpu.vulkan import is_software

if TYPE_CHECKING:
    from rocm_core.diagnosis.explain import Failure

_TIMEOUT = 60.0
# Bytes of output that are kept, from the end; a driver that prints more than a flood is ended.
_OUTPUT, _FLOOD = 1 << 20, 1 << 26
_DEVICE = re.compile(r"^\s+(\S+?):\s+(.+?)\s+\((\d+) MiB, (\d+) MiB free\)")
_GFX_LINE = re.compile(r"Device\s+(\d+):.*,\s+(gfx[0-9a-f]+)")
_LOADED = re.compile(r"load_backend: loaded (\w+) backend from (.+)$")
# No known failure is told without one of these.
_TROUBLE = re.compile(
    r"fail|error|unable|cannot|could not|invalid|not (?:found|supported|load)|\bno \w+ (?:gpu|dev)"
    r"|hsa_override|dropping|denied|unsupported|usable|discovery",
    re.IGNORECASE,
)
_VERSION = re.compile(r"^version: (.+)$", re.MULTILINE)
# Variables that decide which GPUs a program lists.
MASKS = (
    *("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    *("GPU_DEVICE_ORDINAL", "GGML_VK_VISIBLE_DEVICES", "GGML_BACKEND_PATH", "LD_LIBRARY_PATH"),
)
_Backends = tuple[tuple[str, ...], frozenset[str] | None]


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

    @property
    def software(self) -> bool:
        """Whether it is no GPU, but a driver that computes on the CPU (llvmpipe)."""
        return is_software(self.description)


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
        """``gpu``: it sees a GPU. ``no_device``: it could use one, but sees none, or software
        devices only. ``cpu_only``: it has no GPU backend. ``broken``: it does not run, or crashes
        while it lists devices."""
        if self.crashed:
            return "broken"
        if any(not device.software for device in self.devices):
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
    build = _build(engine.argv, *file_facts(engine))
    if "--list-devices" not in flags:
        return _combine(flags, build, "", None, crashed=False)
    output, code = _run(engine.argv, "--list-devices", env, timeout)
    failure = _failure(output, code, timeout)
    return _combine(flags, build, output, failure, crashed=code != 0)


@dataclass(frozen=True, slots=True)
class GpuAccess:
    """How an engine reaches GPUs.

    Attributes:
        by_kfd: through the kernel's compute driver (``/dev/kfd``), as HIP does on Linux; also for a
            program that does not tell what it has: then only a load shows it.
        by_itself: GPU backends that need no such driver: Vulkan, CUDA, …, and HIP in WSL
            (``/dev/dxg``) and on Windows. Only the program knows which GPUs they see.
        gfx_targets: GPU targets that the HIP backend has code for; ``None``: no HIP, or unknown.
    """

    by_kfd: bool
    by_itself: tuple[str, ...]
    gfx_targets: frozenset[str] | None


def gpu_access(engine: Engine, env: Mapping[str, str] | None = None) -> GpuAccess:
    """Return how an engine reaches GPUs; all false and empty for a CPU build.

    Goes by the engine's files; the package's one file has everything. A program that has
    llama.cpp's libraries elsewhere (a script, a package of a distribution) is run with
    ``--list-devices``, once for each set of masks.

    Args:
        engine: see ``locate.find_engine``.
        env: environment of that process; default: this process's.

    Raises:
        EngineNotFound: the program cannot be run.
    """
    facts = file_facts(engine)
    backends, carrier = backend_files(*facts)
    targets = gfx_targets(carrier) if carrier else None
    if not backends and engine.kind == "binary" and not tell_all(*facts):
        backends, targets = _listed_backends(engine, facts, os.environ if env is None else env)
    by_kfd = "HIP" in backends and sys.platform == "linux" and not Path("/dev/dxg").exists()
    by_itself = tuple(name for name in backends if not (by_kfd and name == "HIP"))
    return GpuAccess(by_kfd, by_itself, targets)


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
            backend = BACKENDS.get(kind.lower(), kind)
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
        done = run_bounded([*argv, flag], variables, timeout, _OUTPUT, _FLOOD)
    except OSError as error:
        return str(error), 127
    # Devices stand on stdout; who loaded which back end, and errors, on stderr.
    return (done.stderr + done.stdout).decode("utf-8", "replace"), done.returncode


def _failure(output: str, code: int | None, timeout: float) -> Failure | None:
    if code == 0 and not _TROUBLE.search(output):
        return None
    # The table of known failures is for a build that has trouble.
    from rocm_core.diagnosis.explain import Failure, describe_exit, error_lines, explain_failure

    lines = output.splitlines()
    known = explain_failure(lines, code)
    # That a signal means a crash says less than what the probe was doing.
    if known and (known.evidence or known.name not in ("crashed", "aborted")):
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
    reported = [BACKENDS.get(name.lower()) for name, _ in loaded]
    seen = dict.fromkeys([*build.backends, *(d.backend for d in devices), *filter(None, reported)])
    targets = build.gfx_targets
    for name, path in loaded:
        if targets is None and BACKENDS.get(name.lower()) == "HIP":
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


_listed: dict[object, _Backends] = {}


def _listed_backends(engine: Engine, facts: FileFacts, env: Mapping[str, str]) -> _Backends:
    """Return GPU backends and GPU targets as ``--list-devices`` shows them."""
    key = (engine.argv, facts, tuple(env.get(name) for name in MASKS))
    if key not in _listed:
        _listed[key] = _list_backends(engine, env)
    return _listed[key]


def _list_backends(engine: Engine, env: Mapping[str, str]) -> _Backends:
    if "--list-devices" not in engine.flags():
        return ("HIP",), None  # what it has shows only when it loads a model
    able = capabilities(engine, env)
    if able.crashed and not able.backends:
        return ("HIP",), None  # what crashes while it looks for GPUs is a build for them
    return able.backends, able.gfx_targets


@functools.lru_cache(maxsize=8)
def _build(argv: tuple[str, ...], program: str, mtime: int, size: int) -> _Build:
    backends, carrier = backend_files(program, mtime, size)
    version = _VERSION.search(_run(argv, "--version", None, _TIMEOUT)[0])
    return _Build(
        version[1].strip() if version else None,
        backends,
        gfx_targets(carrier) if carrier else None,
        rocblas_targets(Path(program).parent),
    )
