"""Check the engines: which are installed, and whether they can use the GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rocm_core.config import Engine as Kind
from rocm_core.config import LoadConfig
from rocm_core.doctor.setup.ready_builds import builds_for
from rocm_core.engine.engine_files import build_targets
from rocm_core.engine.installed.choice import (
    EngineChoice,
    choose_engine,
    explain_choice,
    hardware,
)
from rocm_core.engine.installed.packages import GROUP, registered_problems
from rocm_core.engine.locate import PATH_VARIABLE, Engine
from rocm_core.engine.probe import Capabilities, Device, capabilities
from rocm_core.errors import EngineNotFound
from rocm_core.gpu import Gpu, Selection
from rocm_core.gpu.names import build_covers
from rocm_core.types import Check

_GPU_BUILD = (
    'pip install "llama-rocm[vulkan]" (Linux x86_64; llama-rocm setup says what fits), or '
    "put a ROCm or Vulkan build of llama-server on PATH or into ROCM_LLAMA_SERVER_PATH (releases "
    "of ggml-org/llama.cpp or lemonade-sdk/llamacpp-rocm), or compile one: "
    'CMAKE_ARGS="-DGGML_HIP=ON" pip install "llama-rocm[server]"; or install the ROCm wheel of '
    "xllamacpp"
)
_USE_OTHER = "use engine={!r}, or leave the choice to llama-rocm: that one sees a GPU"
_GPU_DRIVER = "install the Vulkan driver of the card (llama-rocm setup names the package)"
_IN_USE = (
    "another program holds more than half of the GPU's memory: find it (fuser -v /dev/kfd "
    "/dev/dri/renderD*) and end it, or ask for fewer gpu_layers"
)
_EMBEDDED = 'pip install "llama-rocm[embedded]"'


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines that are installed, or why one is not.

    Attributes:
        binary, embedded: the engine, or the error that says why there is none.
        named: whether an argument or the environment names the program, so that it must exist.
        choice: the engine that a model gets, and why; ``None`` if there is none.
    """

    binary: Engine | EngineNotFound
    embedded: Engine | EngineNotFound
    named: bool
    choice: EngineChoice | None = None

    @property
    def found(self) -> list[Engine]:
        """The installed engines, the program first."""
        return [e for e in (self.binary, self.embedded) if isinstance(e, Engine)]

    @property
    def gfx_targets(self) -> frozenset[str] | None:
        """GPU targets (``gfx1100``, …) of the engine that a load runs; ``None`` if unknown."""
        engine = self.first
        return build_targets(engine) if engine else None

    @property
    def first(self) -> Engine | None:
        """The engine that a load runs, if it is one of the two."""
        if self.choice and self.choice.engine in self.found:
            return self.choice.engine
        return self.found[0] if self.found else None


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings about the engines.

    Attributes:
        engines: whether each engine runs.
        gpu: whether the engine that a load runs has a GPU backend, and code for the chosen GPUs.
        seeing_gpu: the kinds of engine (``binary``, ``embedded``) that see a GPU.
    """

    engines: list[Check]
    gpu: list[Check]
    seeing_gpu: frozenset[Kind]


def find_engines(env: Mapping[str, str], server_path: str | os.PathLike[str] | None) -> Engines:
    """Look for both engines, and for the one that a load runs.

    Args:
        env: environment variables that may name the program.
        server_path: the program to use, instead of the one that would be found.
    """
    named = bool(server_path or env.get(PATH_VARIABLE))
    path = Path(server_path) if server_path else None
    binary = _found(LoadConfig(engine="binary", server_path=path), env)
    embedded = _found(LoadConfig(engine="embedded"), env)
    try:
        choice = explain_choice(LoadConfig(server_path=path), env)
    except EngineNotFound:
        choice = None
    return Engines(binary, embedded, named, choice)


def engine_checks(engines: Engines, selection: Selection, env: Mapping[str, str]) -> Findings:
    """Run each engine to learn its version, GPU backends and devices, and judge them.

    Args:
        engines: from ``find_engines``.
        selection: the GPUs that a server would use; the engines list their devices under the
            same masks.
        env: environment variables of the engines' processes.
    """
    masked = {**env, **_masks(selection)}
    binary, able = _engine("llama_server", engines.binary, masked)
    embedded, also_able = _engine("embedded_engine", engines.embedded, masked)
    if able is None and also_able is None:
        binary = replace(binary, remedy=f"{_EMBEDDED} (CPU); {_GPU_BUILD}")
    elif isinstance(engines.binary, EngineNotFound) and not engines.named:
        binary = replace(binary, status="warning")
    seeing: list[tuple[Kind, Capabilities | None]] = [("binary", able), ("embedded", also_able)]
    first = able or (None if engines.named else also_able)
    if also_able and engines.first == engines.embedded:
        first = also_able
    if first is None:
        why = "there is no engine that runs"
        gpu = [Check(name, "skipped", why) for name in ("gpu_backend", "gpu_code")]
    else:
        gpu = [_backend(first, selection), _code(first, selection)]
        other = also_able if first is able else able
        if first.state != "gpu" and other and other.state == "gpu":
            kind = "binary" if first is also_able else "embedded"
            gpu = [_with_remedy(check, _USE_OTHER.format(kind)) for check in gpu]
    kinds = frozenset(kind for kind, found in seeing if found and found.state == "gpu")
    return Findings([binary, embedded, *_choice(engines, masked)], gpu, kinds)


def _found(config: LoadConfig, env: Mapping[str, str]) -> Engine | EngineNotFound:
    try:
        return choose_engine(config, env)
    except EngineNotFound as error:
        return error


def _choice(engines: Engines, env: Mapping[str, str]) -> list[Check]:
    """Say which engine a model gets, of which builds, and which registration is wrong."""
    checks = []
    if engines.choice:
        checks.append(Check("engine_choice", "ok", engines.choice.text))
        checks += _builds(engines.choice, env)
    for problem in registered_problems():
        remedy = f"correct or remove the package that registers it ({GROUP})"
        checks.append(Check("engine_entry_point", "warning", problem, remedy))
    return checks


def _builds(choice: EngineChoice, env: Mapping[str, str]) -> list[Check]:
    """Name the builds of the installed engines where they differ: a model gets one of them."""
    versions: dict[str, str] = {}
    for engine in (choice.engine, *(other for other, _ in choice.others), *choice.unasked):
        with suppress(EngineNotFound):  # its own check says so
            versions[engine.place] = capabilities(engine, env).version or "unknown"
    if len(set(versions.values())) < 2:
        return []
    told = "; ".join(f"{label}: {version}" for label, version in versions.items())
    detail = (
        f"different builds are installed, and a model gets the first: {told}. An option that it "
        "does not have is refused; server_path= or engine= names another"
    )
    return [Check("engine_builds", "ok", detail)]


def _masks(selection: Selection) -> dict[str, str]:
    if not selection:
        return {}  # the GPU of a Vulkan or CUDA build must not be hidden
    return {name: value for name, value in selection.environment.items() if value is not None}


def _engine(
    name: str, engine: Engine | EngineNotFound, env: Mapping[str, str]
) -> tuple[Check, Capabilities | None]:
    if isinstance(engine, EngineNotFound):
        detail, _, remedy = str(engine).partition(". ")
        if name == "embedded_engine":
            return Check(name, "skipped", detail, remedy), None
        return Check(name, "failed", detail, remedy or _GPU_BUILD), None
    where = f"{engine.argv[0]} ({engine.source})" if engine.kind == "binary" else engine.source
    try:
        able = capabilities(engine, env)
    except EngineNotFound as error:
        return Check(name, "failed", f"{where}: {error}", _GPU_BUILD), None
    return Check(name, "ok", f"{where}, version {able.version or 'unknown'}"), able


# -- the GPU ---------------------------------------------------------------------------------


def _backend(able: Capabilities, selection: Selection) -> Check:
    name, has = "gpu_backend", ", ".join(able.backends)
    if able.devices and not able.crashed:
        return _devices(name, has, able.devices)
    if able.failure is not None:
        lead = f"{has}: " if has else ""
        return Check(name, "failed", lead + able.failure.cause, able.failure.remedy)
    if able.state == "cpu_only" and not selection:
        return Check(name, "skipped", "a CPU build, and there is no GPU for another one")
    if able.state == "cpu_only":
        return Check(name, "failed", "a CPU build: it has no GPU backend", _GPU_BUILD)
    if "--list-devices" not in able.flags:
        remedy = "use a newer build; with this one only a load shows whether the GPU is used"
        return Check(name, "warning", f"{has}, which cannot list its devices", remedy)
    remedy = "make the GPU usable first (see above)" if not selection else _GPU_BUILD
    return Check(name, "failed", f"{has} is there, and sees no device", remedy)


def _devices(name: str, has: str, devices: Sequence[Device]) -> Check:
    seen = hardware(devices)
    if not seen:
        only = ", ".join(map(_described, devices))
        detail = f"{has} sees only {only}, a software device, which computes on the CPU"
        return Check(name, "failed", detail, f"{_GPU_DRIVER}; devices=['llvmpipe'] uses it")
    detail = f"{has} sees " + ", ".join(map(_described, seen))
    if any(2 * device.free_mib < device.total_mib for device in seen):
        return Check(name, "warning", detail, _IN_USE)
    return Check(name, "ok", detail)


def _with_remedy(check: Check, remedy: str) -> Check:
    return replace(check, remedy=remedy) if check.status == "failed" else check


def _described(device: Device) -> str:
    gfx = f"{device.gfx}, " if device.gfx else ""
    memory = f"{device.free_mib} of {device.total_mib} MiB free"
    return f"{device.name} {device.description} ({gfx}{memory})"


def _code(able: Capabilities, selection: Selection) -> Check:
    name, targets = "gpu_code", able.gfx_targets
    if "HIP" not in able.backends:
        return Check(name, "skipped", "only HIP builds are made for certain GPUs")
    if targets is None:
        remedy = "the first answer tells: doctor asks for one below"
        return Check(name, "warning", "the build does not tell which GPUs it has code for", remedy)
    listed = ", ".join(sorted(targets))
    if missing := [gpu for gpu in selection if not build_covers(targets, gpu.gfx)]:
        detail = f"{_names(missing)} is not among the targets of the build: {listed}"
        return Check(name, "failed", detail, _other_build(missing))
    slow = able.rocblas_targets
    if slow and (missing := [gpu for gpu in selection if gpu.gfx not in slow]):
        detail = f"the rocBLAS beside it has no kernels for {_names(missing)}"
        return Check(name, "warning", detail, _other_build(missing))
    return Check(name, "ok", f"code for {listed}")


def _other_build(gpus: Sequence[Gpu]) -> str:
    fitting = [build for build in builds_for(gpus[0].gfx) if "image" not in build.where]
    named = "; or ".join(f"{build.name} of {build.where}" for build in fitting)
    hip = f"use a build with code for it ({named})" if named else "no published build is for it"
    return f"{hip}, or a Vulkan build"


def _names(gpus: list[Gpu]) -> str:
    return ", ".join(dict.fromkeys(gpu.gfx or gpu.name for gpu in gpus))
