"""Check ``HSA_OVERRIDE_GFX_VERSION``, which makes ROCm treat a GPU as another one.

Source: libhsakmt ``topology.c``. It is meant for GPUs that a build lacks code for. Left in a shell
profile it makes a supported GPU slow or wrong, or crash with page faults if it names another
family.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from rocm_core.gpu.listing import Gpu
from rocm_core.gpu.names import build_covers, known_override

OVERRIDE = "HSA_OVERRIDE_GFX_VERSION"

_FORMAT = re.compile(r"(\d{1,2})\.(\d{1,3})\.(\d{1,3})")


def override_warnings(
    gpus: Sequence[Gpu], env: Mapping[str, str], build: Collection[str] | None = None
) -> list[str]:
    """Return what is wrong with the overrides in ``env`` for ``gpus``, each with its remedy.

    Args:
        gpus: the chosen GPUs.
        env: environment variables; ``HSA_OVERRIDE_GFX_VERSION_<node>`` applies to one GPU.
        build: targets of the engine; ``None`` if unknown.
    """
    found: list[str] = []
    for name, value in env.items():
        if not re.fullmatch(rf"{OVERRIDE}(_\d+)?", name):
            continue
        parts = _FORMAT.fullmatch(value)
        if parts is None:
            found.append(f"{name}={value} is invalid: it must look like 10.3.0. Unset it.")
            continue
        pretended = f"gfx{parts[1]}{int(parts[2]):x}{int(parts[3]):x}"
        # The number is that of the KFD node, so the first GPU of most machines is _1.
        suffix = name[len(OVERRIDE) + 1 :]
        for gpu in gpus:
            if suffix and int(suffix) != gpu.node:
                continue
            if problem := _problem(gpu, pretended, value, build):
                found.append(f"{name}={value} {problem}. Unset it.")
    return found


def _problem(gpu: Gpu, pretended: str, value: str, build: Collection[str] | None) -> str | None:
    if gpu.gfx is None or gpu.gfx == pretended:
        return None
    what = f"makes ROCm take {gpu.label} for a {pretended}"
    if build is not None and build_covers(build, gpu.gfx):
        return f"{what}, and the engine's build has code for {gpu.gfx} itself"
    if known_override(gpu.gfx) != value:
        return f"{what}, which is not known to work"
    return None
