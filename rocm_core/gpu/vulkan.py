"""Match the devices that a Vulkan build lists to the GPUs of the kernel.

``llama-server --list-devices`` prints a device's name and memory, and neither PCI address nor UUID;
a load prints the address too ("using device Vulkan0 (NAME) (0000:03:00.0)", b10434; "(unknown id)"
for a device without one; older builds none). So a load decides; before it the name, the chip and
the memory have to be enough, and where they are not, no match is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rocm_core.gpu.listing import Gpu

_MIB = 1 << 20
_USED = re.compile(r"using device (Vulkan\d+) \(.*\) \(([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d)\)")
# Mesa's driver puts the chip behind the card's name: "AMD Radeon RX 7900 XTX (RADV NAVI31)".
_RADV = re.compile(r"^(.*?)\s*\(RADV (\w+)\)")
_SOFTWARE = re.compile(r"llvmpipe|lavapipe|swiftshader", re.IGNORECASE)
# Mesa src/amd/common/amd_family.c and ac_llvm_util.c; newer chips have their target as name.
_CHIPS: Mapping[str, str] = {
    **{"VEGA10": "gfx900", "RAVEN": "gfx902", "VEGA12": "gfx904", "VEGA20": "gfx906"},
    **{"MI100": "gfx908", "MI200": "gfx90a", "GFX940": "gfx942", "RAVEN2": "gfx902"},
    **{"RENOIR": "gfx90c", "NAVI10": "gfx1010", "NAVI12": "gfx1011", "NAVI14": "gfx1012"},
    **{"NAVI21": "gfx1030", "NAVI22": "gfx1031", "NAVI23": "gfx1032", "VANGOGH": "gfx1033"},
    **{"NAVI24": "gfx1034", "REMBRANDT": "gfx1035", "RAPHAEL_MENDOCINO": "gfx1036"},
    **{"NAVI31": "gfx1100", "NAVI32": "gfx1101", "NAVI33": "gfx1102"},
    **{"PHOENIX": "gfx1103", "PHOENIX2": "gfx1103", "GFX1103_R1": "gfx1103"},
    **{"GFX1103_R2": "gfx1103", "STRIX1": "gfx1150", "STRIX_HALO": "gfx1151"},
}
# A driver keeps some of a card's memory for itself.
_TOLERANCE = 0.06


@dataclass(frozen=True, slots=True)
class Match:
    """What is known of a Vulkan device.

    Attributes:
        gpu: the kernel's GPU; ``None`` if that is not certain, or it is none of AMD's.
        reason: the evidence, or why there is no match, in words.
    """

    gpu: Gpu | None
    reason: str


def is_software(description: str) -> bool:
    """Return whether a device of this name is a program on the CPU (llvmpipe, SwiftShader)."""
    return bool(_SOFTWARE.search(description))


def addresses(lines: Iterable[str]) -> dict[str, str]:
    """Return the PCI address of each Vulkan device that a load's log names, by llama.cpp's name."""
    found = (_USED.search(line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def cards_of(lines: Iterable[str], gpus: Sequence[Gpu]) -> dict[str, str]:
    """Return the label of the kernel's GPU behind each Vulkan device that a load's log names.

    Args:
        lines: of the log; a device without a PCI address in it is left out.
        gpus: from ``list_gpus``.
    """
    labels = {gpu.pci: gpu.label for gpu in gpus if gpu.pci}
    return {name: labels[at] for name, at in addresses(lines).items() if at in labels}


def other_card(
    lines: Iterable[str], devices: Sequence[int | str], gpus: Sequence[Gpu]
) -> str | None:
    """Return, in words, that a load uses other cards than those that were asked for; else ``None``.

    Args:
        lines: of the load's log; without PCI addresses in it nothing is said.
        devices: the option; only PCI addresses and UUIDs among it name one certain card.
        gpus: from ``list_gpus``.
    """
    words = {str(device).strip().casefold() for device in devices}
    wanted = {gpu.pci: gpu.label for gpu in gpus if words & {gpu.pci, (gpu.uuid or "").casefold()}}
    labels = {gpu.pci: gpu.label for gpu in gpus}
    used = addresses(lines)
    others = [f"{name} is {labels.get(at, at)}" for name, at in used.items() if at not in wanted]
    if not wanted or len(wanted) != len(devices) or not others:
        return None
    return f"{'; '.join(others)}, and devices names {'; '.join(wanted.values())}"


def match_device(
    description: str,
    total_mib: int,
    gpus: Sequence[Gpu],
    address: str | None = None,
) -> Match:
    """Return the GPU behind a device that a Vulkan build lists.

    Args:
        description: the device's name as the build prints it.
        total_mib: its memory in MiB as the build prints it.
        gpus: from ``list_gpus``.
        address: its PCI address, if a load's log has told it (``addresses``).
    """
    if is_software(description):
        return Match(None, f"{description} is a software device: it computes on the CPU")
    if address is not None:
        at = [gpu for gpu in gpus if gpu.pci == address]
        if len(at) == 1:
            return Match(at[0], f"PCI address {address}")
        return Match(None, f"{len(at) or 'no'} AMD GPUs at PCI address {address}")
    candidates, evidence = _narrowed(description, total_mib, gpus)
    # Memory alone is a coincidence: another vendor's card may have as much.
    if not {"chip", "name"} & set(evidence):
        return Match(None, f"no AMD GPU has the name or the chip of {description}")
    if len(candidates) == 1:
        return Match(candidates[0], f"same {' and '.join(evidence)}")
    labels = "; ".join(gpu.label for gpu in candidates)
    return Match(None, f"{description} may be any of: {labels}")


def _narrowed(
    description: str, total_mib: int, gpus: Sequence[Gpu]
) -> tuple[list[Gpu], tuple[str, ...]]:
    """Return the GPUs that agree with a device, and in what; a known chip has to agree."""
    candidates, evidence = list(gpus), []
    if _chip(description):
        candidates, evidence = _of_chip(description, candidates), ["chip"]
    if named := _of_name(description, candidates):
        candidates, evidence = named, [*evidence, "name"]
    sized = _of_memory(total_mib, candidates)
    if sized and len(sized) < len(candidates):
        candidates, evidence = sized, [*evidence, "memory"]
    return candidates, tuple(evidence if candidates else ())


def _chip(description: str) -> str | None:
    found = _RADV.match(description)
    if not found:
        return None
    word = found[2].upper()
    return _CHIPS.get(word) or (word.lower() if word.startswith("GFX") else None)


def _of_chip(description: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    chip = _chip(description)
    return [gpu for gpu in gpus if chip and gpu.gfx == chip]


def _of_name(description: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    found = _RADV.match(description)
    name = _plain(found[1] if found else description)
    return [gpu for gpu in gpus if _plain(gpu.name) == name]


def _plain(name: str) -> str:
    words = name.casefold().replace("(tm)", "").split()
    return " ".join(word for word in words if word not in ("amd", "graphics"))


def _of_memory(total_mib: int, gpus: Sequence[Gpu]) -> list[Gpu]:
    # What counts as an APU's memory differs between drivers.
    return [
        gpu
        for gpu in gpus
        if not gpu.integrated
        and gpu.vram_total
        and abs(total_mib - gpu.vram_total / _MIB) <= _TOLERANCE * total_mib
    ]
