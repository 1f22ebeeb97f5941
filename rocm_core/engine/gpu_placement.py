"""Choose what depends on the machine's state: the GPUs for a server, how they share its model, and
how much host memory earlier prompts get.

The process that starts a server asks at every start which GPUs there are, which ones the user's
masks leave, and how much memory is free. So these choices are never part of a shared server's key.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rocm_core.config import LoadConfig
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.command_line import CACHE_RAM
from rocm_core.engine.installed.choice import choose_engine, hardware, process_environment
from rocm_core.engine.installed.software import VISIBLE, showing_software
from rocm_core.engine.locate import Engine
from rocm_core.engine.probe import Device, GpuAccess, capabilities, gpu_access
from rocm_core.errors import BackendUnavailable, ConfigError, EngineNotFound, RocmError
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.gpu import HIDE_GPUS, Gpu, Selection, list_gpus, select_gpus
from rocm_core.gpu.host_limits import host_memory
from rocm_core.gpu.vulkan import match_device

log = logging.getLogger("rocm_core.server")

_CACHE_RAM_VARIABLE = "LLAMA_ARG_CACHE_RAM"


def place_on_gpus(config: LoadConfig, *, splits: bool) -> LoadConfig:
    """Return ``config`` with the chosen GPUs in its ``environment`` and split options.

    With backend ``"auto"`` and no AMD GPU ``config`` is returned unchanged: the engine may support
    other GPUs.

    Args:
        config: how to run the server.
        splits: whether the engine has flags for several GPUs; one without them splits by free
            memory on its own.

    Raises:
        BackendUnavailable: backend is ``"rocm"``, and there is no GPU that can be used.
        ConfigError: ``devices``, ``tensor_split`` or ``main_gpu`` do not fit the machine's GPUs.
    """
    if config.backend == "cpu":
        return _with_gpus_hidden(config)
    if config.backend not in ("", "auto", "rocm"):
        return config
    if not _needs_kfd(config):
        return _with_named_devices(config)  # Vulkan and CUDA ignore ROCm's masks
    selection = choose_gpus(config)
    if not selection:
        if config.backend == "rocm" and not _access(config).by_itself:
            raise BackendUnavailable(f"backend 'rocm' cannot run here: {why_none(selection)}")
        return config
    _log_selection(selection)
    mode, split = config.split_mode, config.tensor_split
    if splits and mode != "none":
        mode, split = mode or selection.split_mode, split or selection.tensor_split
    changes = {**dict(config.environment), **selection.environment}
    return replace(config, split_mode=mode, tensor_split=split, environment=changes)


def with_prompt_cache(ref: ModelRef, config: LoadConfig, flags: frozenset[str]) -> LoadConfig:
    """Return ``config`` with a number of bytes instead of ``prompt_cache="auto"``.

    auto stays, and nothing is sent, if the build has no ``--cache-ram``, or if ``extra_args`` or
    ``environment`` set it by llama-server's own name.

    Args:
        ref: the model; of a file the header is read.
        config: how to run the server, its GPUs chosen.
        flags: the flags that the engine understands (``Engine.flags``).
    """
    by_hand = _CACHE_RAM_VARIABLE in dict(config.environment) or any(
        f in CACHE_RAM for f in config.extra_args
    )
    if config.prompt_cache != "auto" or CACHE_RAM[0] not in flags or by_hand:
        return config
    # An attached model never sizes a server's cache.
    from rocm_core.memory.prompt_cache import prompt_cache_bytes

    beside_model = not _on_cards(config)
    size = prompt_cache_bytes(_facts(ref), config, host_memory(), beside_model=beside_model)
    log.info("%s keeps up to %d MiB of earlier prompts (prompt_cache)", ref.name, size >> 20)
    return replace(config, prompt_cache=size)


def choose_gpus(config: LoadConfig, access: GpuAccess | None = None) -> Selection:
    """Return the GPUs that a server with ``config`` would use if it were started now.

    Args:
        config: how to run the server.
        access: how its engine reaches GPUs; ``None``: the one that ``config`` gets.

    Raises:
        ConfigError: as ``place_on_gpus``.
    """
    env = process_environment(config)
    access = access or _access(config)
    selection = select_gpus(list_gpus(), config.devices, env, access.gfx_targets)
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


class PlacedDevice(NamedTuple):
    """A device that a load would use.

    Attributes:
        name: the card's name: the kernel's, if it is certain which card it is.
        free: free bytes of its memory; ``None`` if unknown.
        gpu: the kernel's GPU; ``None`` if that is uncertain, or it is none of AMD's.
    """

    name: str
    free: int | None
    gpu: Gpu | None


def devices_of_load(config: LoadConfig) -> list[PlacedDevice]:
    """Return the devices that a load with ``config`` would use if it were started now.

    They are those of the engine that it gets: the kernel's GPUs of a HIP build, what a Vulkan or
    CUDA build lists. Of the latter llama.cpp leaves out integrated GPUs where there is a card
    (``llama_prepare_model_devices``). Empty if the engine uses no GPU, or there is no engine.

    Raises:
        ConfigError: ``devices`` names a GPU that is not there.
    """
    env = process_environment(config)
    try:
        engine = choose_engine(config, env)
        access = gpu_access(engine, env)
    except EngineNotFound:
        return []
    if access.by_kfd and (chosen := choose_gpus(config, access)):
        return [PlacedDevice(gpu.name, gpu.memory_free, gpu) for gpu in chosen]
    if not access.by_itself:
        return []
    listed = capabilities(engine, {**env, **showing_software(engine, config.devices, env)}).devices
    names = named_devices(config.devices, listed)
    used = [d for d in listed if d.name in names] if names else hardware(listed)
    placed = [_placed(device) for device in used]
    cards = [device for device in placed if not (device.gpu and device.gpu.integrated)]
    return placed if names or not any(device.gpu for device in cards) else cards


def _placed(device: Device) -> PlacedDevice:
    gpu = None
    if device.backend == "Vulkan":
        gpu = match_device(device.description, device.total_mib, list_gpus()).gpu
    name = gpu.name if gpu else f"{device.name} {device.description}"
    return PlacedDevice(name, device.free_mib << 20, gpu)


def named_devices(devices: Sequence[int | str], listed: Sequence[Device]) -> list[str]:
    """Return llama.cpp's names of the GPUs that ``devices`` chooses among those an engine lists.

    Args:
        devices: each an index in ``listed``, llama.cpp's name (``Vulkan0``), part of the card's
            name, which means every GPU of that name, or the UUID, PCI address or name by which
            ``list_gpus`` knows a GPU that certainly is one of them.
        listed: from ``probe.capabilities``.

    Raises:
        ConfigError: one of them is not there.
    """
    found: dict[str, None] = {}
    for device in devices:
        text = str(device).strip().casefold()
        names = [d.name for d in listed if text == d.name.casefold()]
        if not names and text.isdigit() and int(text) < len(listed):
            names = [listed[int(text)].name]
        elif not names and not isinstance(device, int):
            names = [d.name for d in listed if text in d.description.casefold()]
        if not names and not isinstance(device, int):
            names = _by_kernel(text, listed)
        if not names:
            there = "; ".join(f"{d.name} {d.description}" for d in listed) or "none"
            raise ConfigError(f"there is no GPU {device!r} for this engine. It lists: {there}")
        found.update(dict.fromkeys(names))
    return list(found)


def _by_kernel(text: str, listed: Sequence[Device]) -> list[str]:
    """Return the names of Vulkan devices that are the kernel's GPU of that UUID, address or name.

    Raises:
        ConfigError: the kernel has the GPU, and it is uncertain which of the devices it is.
    """
    gpus = list_gpus()
    wanted = [
        gpu
        for gpu in gpus
        if text in ((gpu.uuid or "").casefold(), gpu.pci or "") or text in gpu.name.casefold()
    ]
    if not wanted:
        return []
    matches = [
        (d.name, match_device(d.description, d.total_mib, gpus))
        for d in listed
        if d.backend == "Vulkan"
    ]
    names = [name for name, match in matches if match.gpu in wanted]
    if len(names) < len(wanted) and matches:
        why = "; ".join(f"{name}: {match.reason}" for name, match in matches if not match.gpu)
        raise ConfigError(
            f"it is uncertain which device of this engine is {wanted[0].label} ({why or 'none'}). "
            f"Give its own name in devices: {', '.join(name for name, _ in matches)}"
        )
    return names


def _with_named_devices(config: LoadConfig) -> LoadConfig:
    env = process_environment(config)
    # Software devices are listed only where the user's variable shows them.
    if not config.devices and not env.get(VISIBLE):
        return config
    engine = choose_engine(config, env)
    shown = showing_software(engine, config.devices, env)
    listed = capabilities(engine, {**env, **shown}).devices
    if config.devices:
        names = named_devices(config.devices, listed)
        _check_has_device_flag(config, engine)
    else:
        names = [device.name for device in hardware(listed)]
        if len(names) in (0, len(listed)) or "--device" not in engine.flags():
            return config
    args = (*config.extra_args, "--device", ",".join(names))
    return replace(config, extra_args=args, environment={**dict(config.environment), **shown})


def _check_has_device_flag(config: LoadConfig, engine: Engine) -> None:
    if "--device" not in engine.flags():
        raise ConfigError(
            f"devices={list(config.devices)}: {engine.label} has no --device to choose among its "
            "GPUs. Remove devices, or use another build (server_path=, engine='binary')."
        )


def why_none(selection: Selection) -> str:
    """Return why an empty selection is empty, as a phrase for an error message."""
    reasons = [*selection.warnings, *(f"{gpu.label}: {why}" for gpu, why in selection.skipped)]
    return "; ".join(reasons) or "the kernel's compute driver shows no GPU"


def _needs_kfd(config: LoadConfig) -> bool:
    access = _access(config)
    return access.by_kfd or not access.by_itself


def _access(config: LoadConfig) -> GpuAccess:
    try:
        env = process_environment(config)
        return gpu_access(choose_engine(config, env), env)
    except EngineNotFound:
        return GpuAccess(True, (), None)  # the start itself raises it


def _with_gpus_hidden(config: LoadConfig) -> LoadConfig:
    if config.gpu_layers and config.counts_gpu_layers:
        return config
    # A build for GPUs wakes the GPU, takes memory there and crashes with its driver even without
    # layers on it.
    hidden = {**HIDE_GPUS, VISIBLE: ""}  # set but empty: ggml-vulkan takes no device
    return replace(config, environment={**hidden, **dict(config.environment)})


def _log_selection(selection: Selection) -> None:
    for warning in selection.warnings:
        log.warning("%s", warning)
    for gpu in selection:
        log.info("using %s: %s", gpu.label, selection.reason)
    for gpu, reason in selection.skipped:
        log.info("not using %s: %s", gpu.label, reason)


def _on_cards(config: LoadConfig) -> bool:
    """Whether the model goes to GPUs with memory of their own; ``False`` if that is unknown."""
    if config.backend == "cpu" or config.gpu_layers == 0:
        return False
    try:
        chosen = list(choose_gpus(config))
    except ConfigError:  # an engine of another GPU API counts other devices
        return False
    return bool(chosen) and not any(gpu.uses_host_memory for gpu in chosen)


def _facts(ref: ModelRef) -> GGUFInfo | None:
    if ref.kind != "file":
        return None
    try:
        return read_gguf(ref.value)
    except (RocmError, OSError):  # the server itself says what is wrong with it
        return None
