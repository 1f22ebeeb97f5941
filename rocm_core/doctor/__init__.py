"""``llama-rocm doctor``: what works here, what does not, and what to do about it.

    machine   driver → /dev/kfd → GPUs → which are chosen, what masks them     (recorded trees too)
    engine    llama-server → its GPU backend → code for the chosen GPUs; the embedded engine
    run       model directories, runtime directory, a real load and one token from the demo model

Each part returns findings (``rocm_core.types.Check``). A finding never raises; every failed one
carries its remedy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rocm_core.doctor.engines import engine_checks, find_engines
from rocm_core.doctor.machine import machine_checks
from rocm_core.doctor.runs import run_checks
from rocm_core.types import Check

__all__ = ["run_doctor", "worst"]


def run_doctor(
    root: str | os.PathLike[str] = "/",
    env: Mapping[str, str] | None = None,
    *,
    allow_cpu: bool = False,
    server_path: str | Path | None = None,
) -> list[Check]:
    """Every finding, in the order in which they depend on each other.

    Args:
        root: where ``/sys``, ``/proc`` and ``/dev`` lie. Another one than ``/`` is a recorded
            machine: only its machine part is looked at, without this process's environment.
        env: environment variables; default this process's for ``/``, none for a recorded one.
        allow_cpu: a GPU that is missing or cannot be used is a warning, not a failure.
        server_path: the ``llama-server`` to look at, instead of the one that would be found.
    """
    recorded = Path(root) != Path("/")
    variables = env if env is not None else ({} if recorded else os.environ)
    if recorded:
        machine, _ = machine_checks(root, variables, build=None)
        return _softened(machine) if allow_cpu else machine
    engines = find_engines(variables, server_path)
    machine, selection = machine_checks(root, variables, engines.gfx_targets)
    about = engine_checks(engines, selection, variables)
    # A Vulkan or CUDA build, and ROCm in WSL, need none of what the machine part looks for.
    if allow_cpu or "binary" in about.seeing_gpu:
        machine = _softened(machine)
    gpu = _softened(about.gpu) if allow_cpu else about.gpu
    runs = run_checks(engines.found, about.seeing_gpu, variables)
    return [*machine, *about.engines, *gpu, *runs]


def worst(checks: Sequence[Check]) -> str:
    """``failed``, ``warning`` or ``ok``: the worst status among the findings."""
    for status in ("failed", "warning"):
        if any(check.status == status for check in checks):
            return status
    return "ok"


def _softened(checks: Sequence[Check]) -> list[Check]:
    return [replace(c, status="warning") if c.status == "failed" else c for c in checks]
