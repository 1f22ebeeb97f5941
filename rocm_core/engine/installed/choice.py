"""Choose the engine that a model gets among those that are installed, by what they can do here.

    named by the user  ──▶  that one (server_path, ROCM_LLAMA_SERVER_PATH, engine=)
    installed          ──▶  HIP with code for the card > a back end that lists the card >
                            HIP that does not tell > the CPU; the first of equals

Which GPU backs an engine is asked of its files first, and of the program only where they do not
tell. A machine without any GPU asks nothing.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rocm_core.config import LoadConfig
from rocm_core.engine.installed.packages import backends_of
from rocm_core.engine.installed.software import (
    VISIBLE,
    asks_for_software,
    showing_software,
    software_devices,
)
from rocm_core.engine.locate import (
    Engine,
    installed_engines,
    named_engine,
    none_installed,
    registered_engines,
)
from rocm_core.engine.probe import MASKS, Device, capabilities, gpu_access
from rocm_core.errors import ConfigError, EngineNotFound
from rocm_core.gpu import Gpu, kfd_problem, list_gpus, select_gpus
from rocm_core.gpu.vulkan import match_device

log = logging.getLogger("rocm_core.server")

# How an engine reaches the card, best first.
CODE, LISTED, UNTOLD, CPU = range(4)
# Where the drivers of other GPUs, and of AMD's in WSL, have their devices.
_DEVICE_FILES = ("/dev/dxg", "/dev/nvidiactl")
_RENDER_NODES = "/dev/dri"
_chosen: dict[object, EngineChoice] = {}


class EngineChoice(NamedTuple):
    """The engine that a model gets.

    Attributes:
        engine: the engine.
        reason: why this one, as a phrase.
        others: the other installed engines that were looked at, each with what it can do here.
        unasked: the installed engines that were not looked at, because nothing depends on it.
    """

    engine: Engine
    reason: str
    others: tuple[tuple[Engine, str], ...] = ()
    unasked: tuple[Engine, ...] = ()

    @property
    def text(self) -> str:
        """Engine, reason, and the others, as one line."""
        others = "".join(f"; not {engine.label}: {why}" for engine, why in self.others)
        if self.unasked:
            names = ", ".join(engine.place for engine in self.unasked)
            others += f"; installed as well, and later in the order: {names}"
        return f"{self.engine.place}: {self.reason}{others}"


class Reach(NamedTuple):
    """How an engine reaches the GPUs: ``level`` (``CODE`` is best, ``CPU`` none), and why."""

    level: int
    reason: str


def choose_engine(config: LoadConfig, env: Mapping[str, str] | None = None) -> Engine:
    """Return the engine that a server with ``config`` gets; see ``explain_choice``."""
    return explain_choice(config, env).engine


def explain_choice(config: LoadConfig, env: Mapping[str, str] | None = None) -> EngineChoice:
    """Return the engine that a server with ``config`` gets, and why.

    Args:
        config: how to run the server.
        env: environment to look in; default: this process's with ``config.environment``.

    Raises:
        EngineNotFound: there is none, or the path that the user names is wrong.
    """
    env = process_environment(config) if env is None else env
    if named := named_engine(config.engine, config.server_path, env):
        return EngineChoice(named, f"named by {named.source}")
    engines = list(installed_engines(config.engine, env))
    engines = engines or list(registered_engines(config.engine))
    if not engines:
        raise none_installed(config.engine)
    wants_cpu = config.backend == "cpu" or (config.gpu_layers == 0 and not config.require_gpu)
    if wants_cpu or not _may_have_gpu(config, env):
        why = "for the CPU" if wants_cpu else "there is no GPU"
        why = "the only one that is installed" if len(engines) == 1 else why
        first = min(engines, key=_made_for_gpu)
        return EngineChoice(first, why, unasked=tuple(e for e in engines if e is not first))
    return _best(engines, config, env)


def logged_choice(config: LoadConfig) -> Engine:
    """Return the engine that a server with ``config`` gets, and log why; raises as above."""
    choice = explain_choice(config)
    log.info("engine: %s", choice.text)
    return choice.engine


def with_engine(config: LoadConfig, engine: Engine) -> LoadConfig:
    """Return ``config`` with ``engine`` named, so that one start asks for the choice once."""
    path = engine.argv[0] if engine.kind == "binary" else None
    return replace(config, engine=engine.kind, server_path=path)


def process_environment(config: LoadConfig) -> dict[str, str]:
    """Return this process's environment with the changes of ``config.environment``."""
    merged = {**os.environ, **dict(config.environment)}
    return {name: value for name, value in merged.items() if value is not None}


def reach(engine: Engine, devices: Sequence[int | str], env: Mapping[str, str]) -> Reach:
    """Return how ``engine`` reaches the GPUs of this machine.

    Args:
        engine: an installed engine.
        devices: the option ``devices``.
        env: environment of the engine's process.
    """
    try:
        access = gpu_access(engine, env)
        if not (access.by_kfd or access.by_itself):
            return Reach(CPU, "a CPU build")
        found = [Reach(CPU, "no GPU")]
        if access.by_kfd:
            found = [_by_kfd(devices, env, access.gfx_targets)]
        if access.by_itself and found[0].level != CODE:
            found.append(_by_itself(engine, access.by_itself, devices, env))
        return min(found[::-1], key=lambda way: way.level)
    except EngineNotFound as error:
        return Reach(CPU + 1, str(error).partition(". ")[0])


def hardware(devices: Sequence[Device]) -> list[Device]:
    """Return the devices that are no software devices."""
    return [device for device in devices if not device.software]


def as_card(device: Device) -> str:
    """Return a listed device in words; where its card is certain, with its number and address."""
    match = match_device(device.description, device.total_mib, list_gpus())
    text = f"{device.name} {device.description}"
    if device.backend != "Vulkan" or match.gpu is None:
        return text
    number = None if match.gpu.hip_index is None else f"GPU {match.gpu.hip_index}"
    return f"{text} ({', '.join(fact for fact in (number, match.gpu.pci) if fact)})"


def _may_have_gpu(config: LoadConfig, env: Mapping[str, str]) -> bool:
    if config.devices or config.require_gpu or config.backend == "rocm" or env.get(VISIBLE):
        return True
    if not sys.platform.startswith("linux") or list_gpus():
        return True
    return any(map(os.path.exists, _DEVICE_FILES)) or any(Path(_RENDER_NODES).glob("renderD*"))


def _made_for_gpu(engine: Engine) -> bool:
    return bool(backends_of(engine.source))


def _best(engines: list[Engine], config: LoadConfig, env: Mapping[str, str]) -> EngineChoice:
    if len(engines) == 1 and _has_gpu_backend(engines[0], env):
        return EngineChoice(engines[0], "the only one that is installed")
    gpus, problem = list_gpus(), kfd_problem()
    facts = tuple((gpu.hip_index, gpu.gfx, gpu.uuid, gpu.pci, gpu.problem) for gpu in gpus)
    masks = tuple(env.get(name) for name in MASKS)
    key = (tuple(engine.argv for engine in engines), config.devices, masks, facts, problem)
    if key not in _chosen:
        best, level = _compare(engines, config.devices, env)
        if level >= CPU and (more := list(registered_engines(config.engine))):
            best, _ = _compare([*engines, *more], config.devices, env)
        _chosen[key] = best
    return _chosen[key]


def _has_gpu_backend(engine: Engine, env: Mapping[str, str]) -> bool:
    try:
        access = gpu_access(engine, env)
    except EngineNotFound:
        return False
    return access.by_kfd or bool(access.by_itself)


def _compare(
    engines: list[Engine], devices: Sequence[int | str], env: Mapping[str, str]
) -> tuple[EngineChoice, int]:
    """Return the best of ``engines``, and its level."""
    ways: list[tuple[Engine, Reach]] = []
    for engine in engines:
        ways.append((engine, reach(engine, devices, env)))
        if ways[-1][1].level == CODE:
            break  # nothing is better, and the others need not be run
    best = min(ways, key=lambda way: way[1].level)
    if best[1].level >= CPU:  # a build for the CPU before one that looks for GPUs in vain
        best = min(ways, key=lambda way: (way[1].level, _made_for_gpu(way[0])))
    others = tuple((engine, way.reason) for engine, way in ways if engine is not best[0])
    return EngineChoice(best[0], best[1].reason, others), best[1].level


def _by_kfd(
    devices: Sequence[int | str], env: Mapping[str, str], targets: frozenset[str] | None
) -> Reach:
    if problem := kfd_problem():
        return Reach(CPU, f"a HIP build, and {problem}")
    try:
        selection = select_gpus(list_gpus(), devices, env, targets)
    except ConfigError as error:
        return Reach(CPU, f"a HIP build: {str(error).partition('. ')[0]}")
    if not selection:
        reasons = dict.fromkeys([*selection.warnings, *(why for _, why in selection.skipped)])
        return Reach(CPU, f"a HIP build: {'; '.join(reasons) or 'no GPU'}")
    names = ", ".join(dict.fromkeys(_target(gpu) for gpu in selection))
    if targets is None:
        return Reach(UNTOLD, f"a HIP build that does not tell whether it has code for {names}")
    return Reach(CODE, f"its HIP back end has code for {names}")


def _target(gpu: Gpu) -> str:
    return gpu.gfx or gpu.name


def _by_itself(
    engine: Engine,
    backends: Sequence[str],
    devices: Sequence[int | str],
    env: Mapping[str, str],
) -> Reach:
    asked = asks_for_software(devices, env)
    able = capabilities(engine, {**env, **showing_software(engine, devices, env)})
    seen = list(able.devices) if asked else hardware(able.devices)
    has = ", ".join(backends)
    if seen and not able.crashed:
        names = ", ".join(as_card(device) for device in seen)
        software = any(device.software for device in seen)
        note = ", a software device that was asked for" if software else ""
        return Reach(LISTED, f"its {has} back end lists {names}{note}")
    if able.failure is not None:
        return Reach(CPU, f"its {has} back end: {able.failure.cause}")
    if software_devices(able.devices):
        return Reach(CPU, f"its {has} back end sees only a software device")
    return Reach(CPU, f"its {has} back end sees no device")
