"""Judge whether a server would run on a GPU, by its whole configuration.

    engine that would run ──▶ its GPU backends ──▶ HIP: the kernel's GPUs, masks, GPU code
      (locate)                 (probe.gpu_access)    others: the GPUs that the program lists

Here backend ``"auto"`` becomes ``"rocm"`` or ``"cpu"``, for ``load_model`` and ``Server`` alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from rocm_core.config import LoadConfig
from rocm_core.engine.gpu_placement import (
    choose_gpus,
    named_devices,
    why_none,
)
from rocm_core.engine.installed.choice import (
    as_card,
    explain_choice,
    hardware,
    process_environment,
)
from rocm_core.engine.installed.software import (
    asks_for_software,
    showing_software,
    software_devices,
)
from rocm_core.engine.locate import PATH_VARIABLE, Engine
from rocm_core.engine.probe import Capabilities, Device, GpuAccess, capabilities, gpu_access
from rocm_core.errors import BackendUnavailable, EngineNotFound
from rocm_core.gpu import kfd_problem, list_gpus

AUTO = ("", "auto")
_GPU_BUILD = (
    'install one that has (pip install "llama-rocm[vulkan]"; llama-rocm setup says which fits), or '
    f"use a ROCm or Vulkan build of llama-server (server_path=, {PATH_VARIABLE} or PATH)"
)
_OTHER_BUILD = "use a build with code for it, or a Vulkan build"
_DRIVER = "install the driver of that backend (for Vulkan: Mesa's, mesa-vulkan-drivers)"
_CONTAINER = (
    "start the container with --device /dev/kfd --device /dev/dri; llama-rocm doctor says more"
)
_DOCTOR = "llama-rocm doctor names the reason"
# Causes of which this process was warned.
_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class GpuJudgment:
    """Whether a server would run on a GPU.

    Attributes:
        usable: it would.
        reasons: the GPUs that it would use, and what to know about that; or why it uses none.
        remedy: what to do to use a GPU; empty if it would use one, or if the reasons say it.
        unused: the GPUs of this machine, by the kernel's account, if it would use none.
    """

    usable: bool
    reasons: tuple[str, ...]
    remedy: str = ""
    unused: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """The reasons and the remedy, as text for an error message."""
        return "; ".join(self.reasons) + (f". Remedy: {self.remedy}" if self.remedy else "")


def judge_gpu(config: LoadConfig) -> GpuJudgment:
    """Return whether a server with ``config`` would run on a GPU if it were started now.

    Reads files. Runs the engine (``--list-devices``) only where nothing else tells: for Vulkan,
    CUDA and the like, for HIP in WSL, and for a program whose libraries are not beside it.

    Raises:
        ConfigError: ``devices``, ``tensor_split`` or ``main_gpu`` do not fit the machine's GPUs.
    """
    env = process_environment(config)
    try:
        choice = explain_choice(config, env)
        judged = _judge(config, choice.engine, env)
    except EngineNotFound as error:
        return _none(str(error), "")
    if judged.usable or not choice.others:
        return judged
    others = (f"{engine.label}: {why}" for engine, why in choice.others)
    remedy = judged.remedy
    for engine, _ in choice.others:
        with suppress(EngineNotFound):  # one that does not run has no remedy of its own
            access = gpu_access(engine, env)
            if access.by_kfd or access.by_itself:
                remedy = _judge(config, engine, env).remedy or remedy
                break
    return replace(judged, reasons=(*judged.reasons, *others), remedy=remedy)


def _judge(config: LoadConfig, engine: Engine, env: Mapping[str, str]) -> GpuJudgment:
    access = gpu_access(engine, env)
    if not (access.by_kfd or access.by_itself):
        reason = f"{engine.label} is a CPU build: it has no GPU backend"
        return _none(reason, _remedy_for_cpu_build(config, engine))
    judged = _by_kfd(config, access) if access.by_kfd else None
    if access.by_itself and not (judged and judged.usable):
        shown = {**env, **showing_software(engine, config.devices, env)}
        listed = _by_itself(config, engine, access, capabilities(engine, shown))
        judged = listed if judged is None or listed.usable else judged
    assert judged is not None
    return judged


def resolve_backend(config: LoadConfig) -> LoadConfig:
    """Return ``config`` with ``"rocm"`` or ``"cpu"`` in place of the backend ``"auto"``.

    Warns, once per process and cause, if that is the CPU although the machine has a GPU. With
    ``require_gpu`` the load's log has the last word, so ``"auto"`` stays.

    Raises:
        BackendUnavailable: ``devices`` names GPUs, and none can be used.
        ConfigError: as ``judge_gpu``.
    """
    if config.backend not in AUTO or config.require_gpu:
        return config
    judgment = judge_gpu(config)
    return replace(config, backend="rocm") if judgment.usable else on_cpu(config, judgment)


def on_cpu(config: LoadConfig, judgment: GpuJudgment | None = None) -> LoadConfig:
    """Return ``config`` for a server on the CPU.

    Args:
        config: how to run the server.
        judgment: why no GPU is used; ``None`` if the user chose the CPU.

    Raises:
        BackendUnavailable: ``devices`` or ``require_gpu`` asks for a GPU.
    """
    why = judgment.why if judgment else "backend='cpu' was asked for"
    if config.require_gpu:
        raise BackendUnavailable(f"require_gpu=True, and no GPU can be used: {why}")
    if config.devices:
        raise BackendUnavailable(
            f"devices={list(config.devices)} asks for GPUs, and the backend is 'cpu'. Remove "
            f"devices, or use backend='rocm' ({why})."
        )
    if judgment is not None:
        _warn_once(config, judgment)
    # RPC workers get their layers like GPUs, also from a program that has none of its own.
    keeps = config.counts_gpu_layers or config.rpc_servers
    layers = config.gpu_layers if keeps else 0
    return replace(config, backend="cpu", gpu_layers=layers)


def _warn_once(config: LoadConfig, judgment: GpuJudgment) -> None:
    cause = "; ".join((*judgment.unused, *judgment.reasons))
    silent = config.require_gpu is False or config.gpu_layers == 0 or not judgment.unused
    if silent or cause in _warned:
        return
    _warned.add(cause)
    warnings.warn(
        f"models run on the CPU, although there is {'; '.join(judgment.unused)}. "
        f"{judgment.why}. backend='cpu' says that the CPU is meant.",
        RuntimeWarning,
        stacklevel=2,
    )


# -- by the kind of GPU backend -----------------------------------------------------------------


def _by_kfd(config: LoadConfig, access: GpuAccess) -> GpuJudgment:
    if problem := kfd_problem():
        hidden = list_gpus() and "does not exist" in problem
        return _none(problem, _CONTAINER if hidden else "")
    selection = choose_gpus(config, access)
    if selection:
        chosen = tuple(f"{gpu.label}: {selection.reason}" for gpu in selection)
        return GpuJudgment(True, (*chosen, *selection.warnings))
    lacks_code = any("no code for" in reason for _, reason in selection.skipped)
    return _none(why_none(selection), _OTHER_BUILD if lacks_code else _DOCTOR)


def _by_itself(
    config: LoadConfig, engine: Engine, access: GpuAccess, able: Capabilities
) -> GpuJudgment:
    software = software_devices(able.devices)
    asked = asks_for_software(config.devices, process_environment(config))
    listed = list(able.devices) if asked else hardware(able.devices)
    if listed and not able.crashed:
        named = named_devices(config.devices, able.devices)
        used = [device for device in listed if not named or device.name in named]
        return GpuJudgment(True, tuple(_seen(device, engine) for device in used))
    has = ", ".join(access.by_itself)
    if able.failure is not None:
        return _none(f"{engine.label} ({has}): {able.failure.cause}", able.failure.remedy)
    if software:
        only = ", ".join(f"{device.name} {device.description}" for device in software)
        reason = f"{engine.label} ({has}) lists only {only}, a software device that computes on"
        return _none(f"{reason} the CPU", f"{_DRIVER}; devices=['llvmpipe'] uses it all the same")
    return _none(f"{engine.label} has {has}, and sees no device", f"{_DRIVER}; {_DOCTOR}")


def _seen(device: Device, engine: Engine) -> str:
    note = " (a software device, which computes on the CPU)" if device.software else ""
    return f"{as_card(device)}: seen by {engine.label}{note}"


def _none(reason: str, remedy: str) -> GpuJudgment:
    return GpuJudgment(False, (reason,), remedy, tuple(gpu.label for gpu in list_gpus()))


def _remedy_for_cpu_build(config: LoadConfig, engine: Engine) -> str:
    """Name the other engine of this machine if it reaches a GPU, else what to install.

    Looked for only where somebody will be told: with a GPU, or where one was asked for.
    """
    told = config.require_gpu or config.devices or config.backend == "rocm" or list_gpus()
    named = config.server_path or config.engine != "auto" or engine.source == PATH_VARIABLE
    if told and named:
        anything = replace(config, engine="auto", server_path=None, backend="rocm")
        env = process_environment(config)
        env.pop(PATH_VARIABLE, None)
        try:
            other = explain_choice(anything, env).engine
            access = gpu_access(other, env)
        except EngineNotFound:
            return _GPU_BUILD
        if other != engine and (access.by_kfd or access.by_itself):
            return f"leave the choice to llama-rocm, which would use {other.label} ({other.source})"
    return _GPU_BUILD
