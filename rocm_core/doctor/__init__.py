"""Check what works on this machine, or at a server's URL, and say what to do if it does not.

    machine   driver → /dev/kfd → GPUs → which are chosen, what masks them     (recorded trees too)
    engines   llama-server → its GPU backend → code for the chosen GPUs; the embedded engine
    runs      model directories, runtime directory, a real load and one token from the demo model
    setup     which engine fits, and how to get it: the last resort of a card that none reaches
    last_start   the last start that failed: cause and remedy
    endpoint  preflight: a server's URL, or a model before its first request

Each part returns findings (``rocm_core.types.Check``). No check raises for what it finds; every
failed one has a remedy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rocm_core.config import LoadConfig
from rocm_core.doctor.engines import engine_checks, find_engines
from rocm_core.doctor.last_start import last_start_checks
from rocm_core.doctor.machine import machine_checks
from rocm_core.doctor.runs import run_checks
from rocm_core.doctor.setup.installed import advise_here
from rocm_core.doctor.setup.site import look_at_site
from rocm_core.errors import EngineNotFound
from rocm_core.types import Check, Checks

__all__ = ["run_doctor", "worst"]


def run_doctor(
    root: str | os.PathLike[str] = "/",
    env: Mapping[str, str] | None = None,
    *,
    allow_cpu: bool = False,
    server_path: str | Path | None = None,
) -> list[Check]:
    """Check this machine, its engines, and a real load with one token.

    Args:
        root: directory that holds ``/sys``, ``/proc`` and ``/dev``. Any other than ``/`` is a
            recorded machine: only the machine part runs, without this process's environment.
        env: environment variables; default: this process's for ``/``, none for a recorded
            machine.
        allow_cpu: whether a missing or unusable GPU is only a warning.
        server_path: the ``llama-server`` to check, instead of the one that would be found.

    Returns:
        All findings; each one comes after those that it depends on.
    """
    recorded = Path(root) != Path("/")
    variables = env if env is not None else ({} if recorded else os.environ)
    if recorded:
        machine, _ = machine_checks(root, variables, build=None)
        return Checks(_softened(machine) if allow_cpu else machine)
    engines = find_engines(variables, server_path)
    machine, selection = machine_checks(root, variables, engines.gfx_targets)
    about = engine_checks(engines, selection, variables)
    # A Vulkan or CUDA build, and ROCm in WSL, need none of what the machine part looks for.
    if allow_cpu or about.seeing_gpu:
        machine = _softened(machine)
    gpu = _softened(about.gpu) if allow_cpu else about.gpu
    setup = [] if about.seeing_gpu else _setup(server_path, variables)
    setup = _softened(setup) if allow_cpu else setup
    runs = run_checks(engines.found, about.seeing_gpu, variables)
    last = last_start_checks(variables)
    return Checks([*machine, *about.engines, *gpu, *setup, *runs, *last])


def _setup(server_path: str | Path | None, env: Mapping[str, str]) -> list[Check]:
    """Say what ``llama-rocm setup`` says, on a machine with a card that no engine reaches."""
    try:
        advice = advise_here(LoadConfig(server_path=server_path), env)
    except EngineNotFound:
        return []  # said already
    idle = advice.steps and look_at_site(env=env).has_card
    detail = f"no engine reaches the card. {advice.engine}: {advice.reason}"
    return [Check("setup", "failed", detail, advice.line)] if idle else []


def worst(checks: Sequence[Check]) -> str:
    """Return the worst status among the findings: ``failed``, ``warning`` or ``ok``."""
    for status in ("failed", "warning"):
        if any(check.status == status for check in checks):
            return status
    return "ok"


def _softened(checks: Sequence[Check]) -> list[Check]:
    return [replace(c, status="warning") if c.status == "failed" else c for c in checks]
