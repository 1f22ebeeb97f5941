"""Facts about AMD's chips, as data: device ids, gfx targets, names, and which code runs on which.

A new GPU goes into ``_APU_GFX`` or ``_CARD_GFX`` and, as far as they apply, into ``_GENERIC``,
``_OVERRIDES`` and ``_NAMES``.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from rocm_core.gpu.kernel.files import read_text

# Device id → gfx target, for kernels before 5.16, which do not show it; later chips need a newer
# kernel. Source: libhsakmt, topology.c (gfxip_lookup_table).
_DEVICES: dict[str, tuple[int, ...]] = {
    "gfx803": (0x7300, 0x730F, 0x67C0, 0x67C4, 0x67C7, 0x67CF, 0x67DF, 0x67E0, 0x67EF, 0x67FF),
    "gfx900": (0x6860, 0x6861, 0x6862, 0x6863, 0x6864, 0x6867, 0x6868, 0x686C, 0x687F),
    "gfx902": (0x15DD, 0x15D8),
    "gfx904": (0x69A0, 0x69A1, 0x69A2, 0x69A3, 0x69AF),
    "gfx906": (0x66A0, 0x66A1, 0x66A2, 0x66A3, 0x66A4, 0x66A7, 0x66AF),
    "gfx908": (0x7388, 0x738C, 0x738E, 0x7390),
    "gfx90a": (0x7408, 0x740C, 0x740F, 0x7410),
    "gfx90c": (0x15E7, 0x1636, 0x1638, 0x164C),
    "gfx1010": (0x7310, 0x7312, 0x7318, 0x731A, 0x731E, 0x731F),
    "gfx1011": (0x7360, 0x7362),
    "gfx1012": (0x7340, 0x7341, 0x7347),
    "gfx1030": (0x73A0, 0x73A1, 0x73A2, 0x73A3, 0x73A5, 0x73AB, 0x73AE, 0x73AF, 0x73BF),
    "gfx1031": (0x73C0, 0x73C1, 0x73C3, 0x73DA, 0x73DB, 0x73DC, 0x73DD, 0x73DE, 0x73DF),
    "gfx1032": (0x73E0, 0x73E1, 0x73E2, 0x73E3, 0x73E8, 0x73EF, 0x73FF),
    "gfx1033": (0x163F,),
    "gfx1034": (0x7420, 0x7421, 0x7422, 0x7423, 0x743F),
    "gfx1035": (0x164D, 0x1681),
}
GFX_OF_DEVICE = {device: gfx for gfx, devices in _DEVICES.items() for device in devices}

# Targets that only APUs have, and that only cards have (llama.cpp docs/docker.md, LLVM
# AMDGPUUsage). gfx942 is both: the MI300A is an APU. LLVM lists gfx1250 as "APU, products to be
# announced"; its products, like those of gfx1251, became cards (Instinct MI455X and MI430X).
_APU_GFX = {
    *("gfx801", "gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036"),
    *("gfx1037", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153"),
}
_CARD_GFX = {
    *("gfx803", "gfx900", "gfx904", "gfx906", "gfx908", "gfx90a", "gfx942", "gfx950"),
    *("gfx1010", "gfx1011", "gfx1012", "gfx1030", "gfx1031", "gfx1032", "gfx1034"),
    *("gfx1100", "gfx1101", "gfx1102", "gfx1200", "gfx1201"),
    *("gfx1250", "gfx1251"),
}
_MI300A = 0x74A0


def chip_is_integrated(gfx: str | None, device_id: int | None) -> bool | None:
    """Return whether the chip is an APU's; ``None`` if the target does not decide it."""
    if device_id == _MI300A or gfx in _APU_GFX:
        return True
    return False if gfx in _CARD_GFX else None


def apu_is_wanted(gfx: str | None, device_id: int | None) -> bool:
    """Return whether an APU is preferred over other APUs: Strix Halo (gfx1151) and MI300A are."""
    return device_id == _MI300A or gfx == "gfx1151"


# Generic target → the targets that its code runs on (LLVM AMDGPUUsage, "Generic Processors").
_GENERIC: dict[str, tuple[str, ...]] = {
    "gfx9-generic": ("gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"),
    "gfx9-4-generic": ("gfx942", "gfx950"),
    "gfx10-1-generic": ("gfx1010", "gfx1011", "gfx1012", "gfx1013"),
    "gfx10-3-generic": tuple(f"gfx103{n}" for n in range(7)),
    "gfx11-generic": (
        *("gfx1100", "gfx1101", "gfx1102", "gfx1103"),
        *("gfx1150", "gfx1151", "gfx1152", "gfx1153"),
    ),
    "gfx12-generic": ("gfx1200", "gfx1201"),
    "gfx12-5-generic": ("gfx1250", "gfx1251"),
}


def build_covers(build: Collection[str], gfx: str | None) -> bool:
    """Return whether an engine compiled for the targets ``build`` has code for ``gfx``.

    Generic targets cover their family; features (``gfx90a:xnack+``) are ignored.
    """
    targets = {target.partition(":")[0] for target in build}
    return gfx in targets or any(gfx in _GENERIC.get(target, ()) for target in targets)


# gfx → (HSA_OVERRIDE_GFX_VERSION, the target it then runs as), where the instruction sets are
# known to agree (llama.cpp docs/build.md and #19949, ollama#12131). Where a build covers the
# real target, an override only costs speed or correctness (llama.cpp docs/docker.md).
_OVERRIDES: dict[str, tuple[str, str]] = {
    **{f"gfx103{n}": ("10.3.0", "gfx1030") for n in range(1, 7)},
    **{f"gfx101{n}": ("10.1.0", "gfx1010") for n in range(1, 3)},
    **dict.fromkeys(("gfx902", "gfx904", "gfx909", "gfx90c"), ("9.0.0", "gfx900")),
    **{f"gfx110{n}": ("11.0.0", "gfx1100") for n in range(1, 4)},
    "gfx1152": ("11.5.0", "gfx1150"),
}


def known_override(gfx: str | None, build: Collection[str] | None = None) -> str | None:
    """Return the ``HSA_OVERRIDE_GFX_VERSION`` that is known to work for ``gfx``, or ``None``.

    Args:
        gfx: the GPU's own target.
        build: targets of the engine, which must cover the replacement; ``None``: unknown, any.
    """
    version, stand_in = _OVERRIDES.get(gfx or "", (None, None))
    return version if build is None or build_covers(build, stand_in) else None


# (device id, revision, compute units, name), for machines without libdrm's list and for
# containers that show no revision. Source: libdrm, data/amdgpu.ids.
_NAMES: tuple[tuple[int, int | None, int | None, str], ...] = (
    (0x150E, None, 16, "AMD Radeon 890M Graphics"),
    (0x1586, 0xC1, 40, "AMD Radeon 8060S Graphics"),
    (0x1586, 0xD1, 40, "AMD Radeon 8060S Graphics"),
    (0x1586, 0xC2, 32, "AMD Radeon 8050S Graphics"),
    (0x1586, 0xD2, 32, "AMD Radeon 8050S Graphics"),
    (0x15BF, None, 12, "AMD Radeon 780M Graphics"),
    (0x66AF, 0xC1, 60, "AMD Radeon VII"),
    (0x6860, None, 64, "AMD Radeon Instinct MI25"),
    (0x738C, 0x01, 120, "AMD Instinct MI100"),
    (0x73A5, 0xC0, 80, "AMD Radeon RX 6950 XT"),
    (0x73AF, 0xC0, 80, "AMD Radeon RX 6900 XT"),
    (0x73BF, 0xC0, 80, "AMD Radeon RX 6900 XT"),
    (0x73BF, 0xC1, 72, "AMD Radeon RX 6800 XT"),
    (0x73BF, 0xC3, 60, "AMD Radeon RX 6800"),
    (0x73DF, 0xC1, 40, "AMD Radeon RX 6700 XT"),
    (0x73DF, 0xC5, 40, "AMD Radeon RX 6750 XT"),
    (0x73FF, 0xC1, 32, "AMD Radeon RX 6600 XT"),
    (0x73FF, 0xC7, 28, "AMD Radeon RX 6600"),
    (0x7408, 0x00, 110, "AMD Instinct MI250X"),
    (0x740C, 0x01, 104, "AMD Instinct MI250X / MI250"),
    (0x740F, 0x02, 104, "AMD Instinct MI210"),
    (0x744C, 0xC8, 96, "AMD Radeon RX 7900 XTX"),
    (0x744C, 0xCC, 84, "AMD Radeon RX 7900 XT"),
    (0x744C, 0xCE, 80, "AMD Radeon RX 7900 GRE"),
    (0x747E, 0xC8, 60, "AMD Radeon RX 7800 XT"),
    (0x747E, 0xFF, 54, "AMD Radeon RX 7700 XT"),
    (0x7480, 0xC0, None, "AMD Radeon RX 7600 XT"),
    (0x7480, 0xCF, None, "AMD Radeon RX 7600"),
    (0x74A0, 0x00, 228, "AMD Instinct MI300A"),
    (0x74A1, 0x00, 304, "AMD Instinct MI300X"),
    (0x74A2, 0x00, 80, "AMD Instinct MI308X"),
    (0x74A5, 0x00, 304, "AMD Instinct MI325X"),
    (0x7550, 0xC0, 64, "AMD Radeon RX 9070 XT"),
    (0x7550, 0xC3, 56, "AMD Radeon RX 9070"),
    (0x7590, 0xC0, 32, "AMD Radeon RX 9060 XT"),
    (0x75A0, 0x00, 256, "AMD Instinct MI350X"),
    (0x75A3, 0x00, 256, "AMD Instinct MI355X"),
    # ROCm/rocm-systems emulation/rocjitsu.
    (0x75C1, None, 256, "AMD Instinct MI455X"),
)
_ID_LISTS = ("usr/share/libdrm/amdgpu.ids", "opt/amdgpu/share/libdrm/amdgpu.ids")


class MarketingNames:
    """Marketing names: from libdrm's list on this machine, as HIP shows them, else our table."""

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        texts = (read_text(Path(root) / path) for path in _ID_LISTS)
        self._lines = [line for text in texts if text for line in text.splitlines()]

    def find(
        self, device_id: int | None, revision: int | None, compute_units: int | None
    ) -> str | None:
        """Return the marketing name of a PCI device, or ``None``.

        Args:
            device_id: PCI device id.
            revision: PCI revision; without one, libdrm's list is not used.
            compute_units: decides in our table between names that share a device id.
        """
        if device_id is None:
            return None
        if revision is not None:
            # "744C,\tC8,\tAMD Radeon RX 7900 XTX"
            wanted = [f"{device_id:04X}", f"{revision:02X}"]
            for line in self._lines:
                if line.startswith(wanted[0]):
                    fields = [part.strip() for part in line.split(",", 2)]
                    if fields[:2] == wanted and len(fields) == 3:
                        return fields[2]
        return _from_table(device_id, revision, compute_units)


def _from_table(device_id: int, revision: int | None, units: int | None) -> str | None:
    rows = [row for row in _NAMES if row[0] == device_id]
    for column, value in ((1, revision), (2, units)):
        names = {row[3] for row in rows if value is not None and row[column] == value}
        if len(names) == 1:
            return names.pop()
    names = {row[3] for row in rows}
    return names.pop() if len(names) == 1 else None
