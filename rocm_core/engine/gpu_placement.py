"""Where a server runs: the options that depend on the machine's state when it starts.

Which GPUs there are, which ones the user's masks leave, and how much memory each has free: asked
at every start, by the process that starts the server, and never part of what makes two requests
share one.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from rocm_core.config import LoadConfig
from rocm_core.engine.locate import Engine, find_engine
from rocm_core.engine.probe import build_targets, capabilities, needs_kfd
from rocm_core.errors import BackendUnavailable, ConfigError, EngineNotFound
from rocm_core.gpu import HIDE_GPUS, Selection, list_gpus, select_gpus

log = logging.getLogger("rocm_core.server")


def place_on_gpus(config: LoadConfig, *, splits: bool) -> LoadConfig:
    """``config`` with the choice of GPUs in its ``environment`` and split.

    With backend ``"auto"`` and no AMD GPU nothing changes: the engine may know other GPUs.

    Args:
        splits: whether the engine has flags for several GPUs (the embedded one splits by free
            memory on its own).

    Raises:
        BackendUnavailable: backend ``"rocm"``, and there is no GPU that can be used.
        ConfigError: ``devices``, ``tensor_split`` or ``main_gpu`` do not fit the machine.
    """
    if config.backend == "cpu":
        return _on_cpu(config)
    if config.backend not in ("", "auto", "rocm") or has_other_gpu_backend(config):
        return config  # Vulkan and CUDA know nothing of ROCm's masks, and count other devices
    selection = choose_gpus(config)
    if not selection:
        if config.backend == "rocm":
            raise BackendUnavailable(f"backend 'rocm' cannot run here: {why_none(selection)}")
        return config
    _tell(selection)
    mode, split = config.split_mode, config.tensor_split
    if splits and mode != "none":
        mode, split = mode or selection.split_mode, split or selection.tensor_split
    changes = {**dict(config.environment), **selection.environment}
    return replace(config, split_mode=mode, tensor_split=split, environment=changes)


def choose_gpus(config: LoadConfig) -> Selection:
    """The GPUs for ``config``, now; raises ``ConfigError`` as ``place_on_gpus``."""
    merged = {**os.environ, **dict(config.environment)}
    env = {name: value for name, value in merged.items() if value is not None}
    engine = _program(config)
    targets = build_targets(engine) if engine else None
    selection = select_gpus(list_gpus(), config.devices, env, targets)
    number, labels = len(selection), "; ".join(gpu.label for gpu in selection)
    if config.tensor_split and selection and len(config.tensor_split) != number:
        raise ConfigError(
            f"tensor_split has {len(config.tensor_split)} shares, and there are {number} GPUs "
            f"to share: {labels}"
        )
    if config.main_gpu is not None and selection and config.main_gpu >= number:
        raise ConfigError(
            f"main_gpu is {config.main_gpu}, and there are {number} GPUs, counted from 0: {labels}"
        )
    return selection


def why_none(selection: Selection) -> str:
    """Why an empty selection is empty."""
    reasons = [*selection.warnings, *(f"{gpu.label}: {why}" for gpu, why in selection.skipped)]
    return "; ".join(reasons) or "the kernel's compute driver shows no GPU"


def has_other_gpu_backend(config: LoadConfig) -> bool:
    """Whether the program to run reaches GPUs without the kernel's compute driver."""
    engine = _program(config)
    return engine is not None and not needs_kfd(engine)


def sees_other_gpu(config: LoadConfig) -> bool:
    """Whether it does, and sees one now; asks the program."""
    engine = _program(config)
    return engine is not None and not needs_kfd(engine) and capabilities(engine).state == "gpu"


def _program(config: LoadConfig) -> Engine | None:
    try:
        engine = find_engine(config.engine, config.server_path)
    except EngineNotFound:
        return None  # told by whoever starts it
    return engine if engine.kind == "binary" else None


def _on_cpu(config: LoadConfig) -> LoadConfig:
    if config.gpu_layers and config.counts_gpu_layers:
        return config
    # Even without layers on it, a build for GPUs wakes the GPU, takes memory there, and dies
    # if the driver does.
    return replace(config, environment={**HIDE_GPUS, **dict(config.environment)})


def _tell(selection: Selection) -> None:
    for warning in selection.warnings:
        log.warning("%s", warning)
    for gpu in selection:
        log.info("using %s: %s", gpu.label, selection.reason)
    for gpu, reason in selection.skipped:
        log.info("not using %s: %s", gpu.label, reason)
