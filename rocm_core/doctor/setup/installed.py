"""Describe the installed engines for the advice: what each reaches, and what it could reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rocm_core.config import LoadConfig
from rocm_core.doctor.setup.advice import Advice, Installed, advise
from rocm_core.doctor.setup.site import look_at_site
from rocm_core.engine.installed.choice import (
    CPU,
    choose_engine,
    process_environment,
    reach,
)
from rocm_core.engine.locate import (
    Engine,
    installed_engines,
    named_engine,
    registered_engines,
)
from rocm_core.engine.probe import gpu_access
from rocm_core.errors import EngineNotFound
from rocm_core.gpu import list_gpus
from rocm_core.gpu.names import build_covers


def advise_here(config: LoadConfig, env: Mapping[str, str] | None = None) -> Advice:
    """Return which engine fits this machine, and what to do; looks at every installed engine.

    Args:
        config: ``engine``, ``server_path`` and ``devices`` count.
        env: environment; default: this process's with ``config.environment``.

    Raises:
        EngineNotFound: the path that the user names is wrong.
    """
    env = process_environment(config) if env is None else env
    return advise(look_at_site(env=env), look_at_engines(config, env))


def look_at_engines(config: LoadConfig, env: Mapping[str, str]) -> list[Installed]:
    """Return the installed engines, the one that a model gets first; runs those for GPUs.

    Raises:
        EngineNotFound: the path that the user names is wrong.
    """
    named = named_engine(config.engine, config.server_path, env)
    engines = [*installed_engines(config.engine, env), *registered_engines(config.engine)]
    if named:
        first = replace(_described(named, config, env), named=named.source)
        return [first, *(_described(engine, config, env) for engine in engines)]
    if engines:
        best = choose_engine(config, env)
        engines.sort(key=lambda engine: engine != best)
    return [_described(engine, config, env) for engine in engines]


def _described(engine: Engine, config: LoadConfig, env: Mapping[str, str]) -> Installed:
    name = f"{engine.label} ({engine.source})"
    way = reach(engine, config.devices, env)
    if way.level < CPU:
        return Installed(name, reaches=way.reason)
    try:
        access = gpu_access(engine, env)
    except EngineNotFound:
        return Installed(name, problem=way.reason)
    targets, gpus = access.gfx_targets, list_gpus()
    covers = targets is None or not gpus or any(build_covers(targets, gpu.gfx) for gpu in gpus)
    could = bool(access.by_itself) or (access.by_kfd and covers)
    return Installed(name, "", could, "Vulkan" in access.by_itself, way.reason)
