"""Apply ROCm's environment variables that hide GPUs, by the runtimes' own rules.

    every GPU ──ROCR_VISIBLE_DEVICES──▶ renumbered ──HIP_VISIBLE_DEVICES──▶ what HIP shows

``ROCR_VISIBLE_DEVICES`` (ROCR-Runtime ``amd_filter_device.cpp``): indices or UUIDs, a prefix of
a UUID if it is unique; a wrong or repeated entry ends the list; set but empty hides everything.
``HIP_VISIBLE_DEVICES``, or ``CUDA_VISIBLE_DEVICES`` where that is unset or empty (clr
``rocdevice.cpp``): indices into what ROCR left; a wrong one ends the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rocm_core.gpu.listing import Gpu

ROCR = "ROCR_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"
CUDA = "CUDA_VISIBLE_DEVICES"
ORDINAL = "GPU_DEVICE_ORDINAL"

Rule = Callable[[str, Sequence[Gpu]], Gpu | None]


@dataclass(frozen=True, slots=True)
class Mask:
    """The GPUs that the user's variables leave visible.

    Attributes:
        gpus: in the order in which HIP shows them.
        variables: ``NAME=value`` of each variable that hides GPUs.
        warnings: for each list with a wrong entry, that it ends there.
    """

    gpus: tuple[Gpu, ...]
    variables: tuple[str, ...]
    warnings: tuple[str, ...]


def read_mask(gpus: Sequence[Gpu], env: Mapping[str, str]) -> Mask | None:
    """Return what the variables in ``env`` leave visible; ``None`` if none of them is set.

    Args:
        gpus: those that ROCm can use, in its order.
        env: environment variables.
    """
    visible, variables, warnings = list(gpus), [], list[str]()
    steps: list[tuple[str, Rule]] = [(ROCR, _by_rocr)] if ROCR in env else []
    hip = next((name for name in (HIP, CUDA) if env.get(name)), None)
    if hip is not None:
        steps.append((hip, _by_hip))
    for name, rule in steps:
        variables.append(f"{name}={env[name]}")
        visible, ended_at = _apply(env[name], visible, rule)
        if ended_at is not None:
            warnings.append(
                f"{name}={env[name]}: {ended_at!r} names no further GPU, and ends the list there"
            )
    return Mask(tuple(visible), tuple(variables), tuple(warnings)) if steps else None


def _apply(value: str, gpus: list[Gpu], rule: Rule) -> tuple[list[Gpu], str | None]:
    shown: list[Gpu] = []
    for token in (part.strip() for part in value.split(",") if value):
        gpu = rule(token, gpus)
        if gpu is None or gpu in shown:
            return shown, None if token == "-1" else token
        shown.append(gpu)
    return shown, None


def _by_rocr(token: str, gpus: Sequence[Gpu]) -> Gpu | None:
    if token.upper().startswith("GPU-"):
        matching = [g for g in gpus if g.uuid and g.uuid.upper().startswith(token.upper())]
        return matching[0] if len(matching) == 1 else None
    return _by_hip(token, gpus)


def _by_hip(token: str, gpus: Sequence[Gpu]) -> Gpu | None:
    if token.upper().startswith("GPU-"):  # recent clr takes UUIDs here, too
        return _by_rocr(token, gpus)
    return gpus[int(token)] if token.isdigit() and int(token) < len(gpus) else None
