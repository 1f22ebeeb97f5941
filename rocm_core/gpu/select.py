"""Choose the GPUs to use, and the environment variables that restrict a child process to them.

    devices=[…] given   those GPUs; each must be visible under a mask that the user set
    a mask is set       exactly the GPUs that it shows
    neither             every usable card that the build supports; without a card, an APU

Only the child's environment is changed: ``ROCR_VISIBLE_DEVICES`` hides the other GPUs before ROCm
opens them (a GPU that a build has no code for may crash it at that moment), and
``HIP_VISIBLE_DEVICES`` lists all that are left, so that no inherited mask hides more.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload

from rocm_core.errors import ConfigError
from rocm_core.gpu.listing import Gpu
from rocm_core.gpu.masks import CUDA, HIP, ORDINAL, ROCR, Mask, read_mask
from rocm_core.gpu.names import apu_is_wanted, build_covers, known_override
from rocm_core.gpu.overrides import OVERRIDE, override_warnings

# GGML_CUDA_MAX_DEVICES (llama.cpp ggml-cuda.h): with more, llama.cpp aborts at start.
_MAX_DEVICES = 16
_MIB = 1024**2

# Variables for a process that must use no GPU: with them ROCm and CUDA builds see none.
HIDE_GPUS: Mapping[str, str | None] = {ROCR: "", HIP: "-1", CUDA: "-1"}


@dataclass(frozen=True, slots=True)
class Selection(Sequence[Gpu]):
    """The chosen GPUs, as a sequence, and what a child process needs to use them.

    Attributes:
        gpus: in the order in which the child will number them.
        reason: why these were chosen, in words.
        skipped: the other GPUs, each with the reason.
        warnings: problems that do not prevent the choice, with their remedies.
        environment: variables to set for the child; ``None`` removes one.
        split_mode: ``"layer"`` for several GPUs, else ``None`` (llama.cpp ``--split-mode``).
        tensor_split: free MiB of each of several GPUs (``--tensor-split``); empty where the free
            memory of one is unknown, so that llama.cpp decides.
    """

    gpus: tuple[Gpu, ...]
    reason: str
    skipped: tuple[tuple[Gpu, str], ...] = ()
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    split_mode: Literal["layer"] | None = None
    tensor_split: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.gpus)

    @overload
    def __getitem__(self, index: int) -> Gpu: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Gpu, ...]: ...
    def __getitem__(self, index: int | slice) -> Gpu | tuple[Gpu, ...]:
        return self.gpus[index]


def select_gpus(
    gpus: Sequence[Gpu],
    devices: Sequence[int | str] | None = None,
    env: Mapping[str, str] | None = None,
    build: Collection[str] | None = None,
) -> Selection:
    """Choose among ``gpus``.

    Args:
        gpus: from ``list_gpus``.
        devices: each an index as ``list_gpus`` numbers them (``Gpu.hip_index``, whatever mask is
            set), a UUID, a PCI address, or a name or part of it, which means every GPU of that
            name; text of digits is an index if there is one, else part of a name (``"7800"``).
            ``None`` or empty to choose by default.
        env: environment variables; default this process's.
        build: gfx targets that the engine was compiled for; ``None`` if unknown.

    Returns:
        The choice; empty if no GPU can be used.

    Raises:
        ConfigError: ``devices`` names a GPU that does not exist, that a mask hides, or that ROCm
            cannot use; the message lists the GPUs that exist.
    """
    env = os.environ if env is None else env
    usable = [gpu for gpu in gpus if gpu.hip_index is not None]
    mask = read_mask(usable, env)
    skipped: dict[int, str] = {gpu.node: gpu.problem for gpu in gpus if gpu.problem}
    if devices:
        chosen, reason = _asked_for(gpus, devices, mask), "asked for"
    elif mask is not None:
        chosen, reason = list(mask.gpus), f"shown by {' and '.join(mask.variables)}"
    else:
        chosen, reason = _default(usable, build, skipped)
    if len(chosen) > _MAX_DEVICES:
        for gpu in chosen[_MAX_DEVICES:]:
            skipped[gpu.node] = f"llama.cpp takes {_MAX_DEVICES} devices at most"
        chosen = chosen[:_MAX_DEVICES]
    for gpu in gpus:
        if gpu not in chosen:
            skipped.setdefault(gpu.node, "not asked for" if devices else "hidden by the mask")
    changes = _environment(chosen, usable, env, build)
    return Selection(
        gpus=tuple(chosen),
        reason=reason,
        skipped=tuple((gpu, skipped[gpu.node]) for gpu in gpus if gpu not in chosen),
        warnings=(
            *_mask_warnings(mask, env),
            *_build_warnings(chosen, {**env, **changes}, build),
            *override_warnings(chosen, env, build),
        ),
        environment=changes,
        split_mode="layer" if len(chosen) > 1 else None,
        tensor_split=_split(chosen),
    )


# -- by name ------------------------------------------------------------------------------------


def _asked_for(gpus: Sequence[Gpu], devices: Sequence[int | str], mask: Mask | None) -> list[Gpu]:
    chosen: list[Gpu] = []
    for device in devices:
        matching = _matching(gpus, device)
        if not matching:
            raise ConfigError(f"there is no GPU {device!r}. {_there_are(gpus)}")
        for gpu in matching:
            if gpu.problem:
                raise ConfigError(f"GPU {device!r} cannot be used: {gpu.problem}")
            if mask is not None and gpu not in mask.gpus:
                raise ConfigError(
                    f"GPU {device!r} is hidden by {' and '.join(mask.variables)}. Unset that, "
                    f"or choose among what it shows. {_there_are(mask.gpus)}"
                )
        chosen += [gpu for gpu in matching if gpu not in chosen]
    return chosen


def _matching(gpus: Sequence[Gpu], device: int | str) -> list[Gpu]:
    if isinstance(device, bool) or not isinstance(device, (int, str)):
        raise ConfigError(f"a device is an index, a UUID, a PCI address or a name, not {device!r}")
    text = str(device).strip().casefold()
    if text.isdigit():
        numbered = [gpu for gpu in gpus if gpu.hip_index == int(text)]
        if numbered or isinstance(device, int):
            return numbered  # else "7800" is part of a name
    if text.startswith("gpu-"):
        return [gpu for gpu in gpus if gpu.uuid and gpu.uuid.startswith(text.replace("gpu", "GPU"))]
    if ":" in text:
        address = text if text.count(":") == 2 else f"0000:{text}"
        return [gpu for gpu in gpus if gpu.pci == address]
    return [gpu for gpu in gpus if text and (text in gpu.name.casefold() or text == gpu.gfx)]


def _there_are(gpus: Sequence[Gpu]) -> str:
    labels = [gpu.label + (f" {gpu.uuid}" if gpu.uuid else "") for gpu in gpus]
    return f"There are: {'; '.join(labels)}." if labels else "There is none."


# -- by default ---------------------------------------------------------------------------------


def _default(
    usable: Sequence[Gpu], build: Collection[str] | None, skipped: dict[int, str]
) -> tuple[list[Gpu], str]:
    native = [gpu for gpu in usable if build is None or build_covers(build, gpu.gfx)]
    able = native or [gpu for gpu in usable if known_override(gpu.gfx, build)]
    for gpu in usable:
        if gpu not in able:
            skipped[gpu.node] = f"the engine's build has no code for {gpu.gfx or 'it'}"
    cards = [gpu for gpu in able if not gpu.integrated]
    if cards:
        for gpu in able:
            if gpu not in cards:
                skipped[gpu.node] = f"integrated ({gpu.integrated_reason}), and there is a card"
        return cards, "every card that can be used"
    wanted = [gpu for gpu in able if apu_is_wanted(gpu.gfx, gpu.device_id)]
    for gpu in able:
        if wanted and gpu not in wanted:
            skipped[gpu.node] = "integrated, and there is a faster one"
    if wanted:
        return wanted, "an APU made for this, and there is no card"
    return able, "there is no other GPU" if able else "there is no GPU that can be used"


# -- what follows -------------------------------------------------------------------------------


def _environment(
    chosen: Sequence[Gpu],
    usable: Sequence[Gpu],
    env: Mapping[str, str],
    build: Collection[str] | None,
) -> Mapping[str, str | None]:
    if not chosen:
        return dict(HIDE_GPUS)
    changes: dict[str, str | None] = {
        ROCR: ",".join(_token(gpu, usable) for gpu in chosen),
        HIP: ",".join(str(number) for number in range(len(chosen))),
    }
    if ORDINAL in env:
        changes[ORDINAL] = None
    overrides = {_needed_override(gpu, build) for gpu in chosen}
    if len(overrides) == 1 and (version := overrides.pop()) and OVERRIDE not in env:
        changes[OVERRIDE] = version
    return changes


def _token(gpu: Gpu, usable: Sequence[Gpu]) -> str:
    """Return a GPU's entry for ``ROCR_VISIBLE_DEVICES``.

    The UUID, which stays right if the order changes; partitions and most APUs have no UUID of
    their own and get their index.
    """
    owners = [other for other in usable if other.uuid == gpu.uuid]
    return gpu.uuid if gpu.uuid and len(owners) == 1 else str(gpu.hip_index)


def _needed_override(gpu: Gpu, build: Collection[str] | None) -> str | None:
    if build is None or build_covers(build, gpu.gfx):
        return None
    return known_override(gpu.gfx, build)


def _split(chosen: Sequence[Gpu]) -> tuple[float, ...]:
    free = [gpu.memory_free for gpu in chosen]
    if len(chosen) < 2 or not all(free):
        return ()
    return tuple(float((value or 0) // _MIB) for value in free)


def _mask_warnings(mask: Mask | None, env: Mapping[str, str]) -> list[str]:
    found = list(mask.warnings) if mask else []
    if mask is not None and not mask.gpus:
        found.append(f"{' and '.join(mask.variables)} hides every GPU. Unset it to use one.")
    if ORDINAL in env:
        found.append(f"{ORDINAL} is removed for llama-server: use {ROCR} instead")
    return found


def _build_warnings(
    chosen: Sequence[Gpu], env: Mapping[str, str | None], build: Collection[str] | None
) -> list[str]:
    found: list[str] = []
    for gpu in chosen:
        if build is not None and not build_covers(build, gpu.gfx):
            version = env.get(OVERRIDE)
            advice = f"running it as {OVERRIDE}={version}" if version else "use another build"
            found.append(f"the engine's build has no code for {gpu.label}: {advice}")
    return found
