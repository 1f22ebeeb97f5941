"""Read the compute driver's topology, ``/sys/class/kfd/kfd/topology``.

Source: kernel ``amdkfd/kfd_topology.c``. A node is a CPU or a GPU (or one compute partition of a
GPU). ROCm reads the same files in libhsakmt's ``topology.c``; this module counts nodes by the
same rules, because the count is a GPU's index in ``ROCR_VISIBLE_DEVICES``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rocm_core.gpu.kernel.files import numbered, read_int, read_text
from rocm_core.gpu.names import GFX_OF_DEVICE

_AMD = 0x1002
_FRAME_BUFFER_HEAPS = (1, 2)  # HSA_HEAPTYPE_FRAME_BUFFER_PUBLIC, _PRIVATE


def kfd_problem(root: str | os.PathLike[str] = "/") -> str | None:
    """Return why ROCm cannot compute on this machine, with the remedy; ``None`` if it can.

    ``/dev/kfd`` is the compute device of the ``amdgpu`` kernel driver; users reach it through
    the groups ``render`` and ``video``.
    """
    device = Path(root) / "dev/kfd"
    if not device.exists():
        return "/dev/kfd does not exist: no AMD GPU with the amdgpu driver (Linux only)"
    if not os.access(device, os.R_OK | os.W_OK):
        return "no permission for /dev/kfd: add yourself to the groups render and video"
    return None


@dataclass(frozen=True, slots=True)
class KfdNode:
    """A GPU node of the topology.

    Attributes:
        number: node number; CPUs come first, so the first GPU is rarely 0.
        gpu_id: KFD's own id of the GPU, which names files under ``/sys/class/kfd/kfd/proc``.
        gfx: ``gfx1100``; ``None`` if neither the kernel nor ``GFX_OF_DEVICE`` names it.
        device_id: PCI device id.
        pci: ``0000:03:00.0``; the function digit is the number of the compute partition.
        render_minor: 128 for ``renderD128``; ``None`` without a render node.
        unique_id: 64-bit serial number; ``None`` where the kernel shows none (most APUs).
        memory: bytes of the frame buffer; on an APU the size of the GTT, not of the carve-out.
        memory_used: bytes in use by compute processes alone.
    """

    number: int
    gpu_id: int | None
    gfx: str | None
    device_id: int | None
    compute_units: int | None
    pci: str | None
    render_minor: int | None
    unique_id: int | None
    memory: int | None
    memory_used: int | None


def gpu_nodes(root: str | os.PathLike[str] = "/") -> list[KfdNode]:
    """Return every readable GPU node, in node order.

    Leaves out nodes that a cgroup masks (reading them gives ``EPERM``), as libhsakmt does.

    Args:
        root: directory that holds ``/sys``.
    """
    found: list[KfdNode] = []
    for number, folder in numbered(Path(root) / "sys/class/kfd/kfd/topology/nodes"):
        values = _properties(read_text(folder / "properties"))
        # An old APU is CPU and GPU in one node, so a GPU is told by its SIMDs.
        if values.get("simd_count") and values.get("vendor_id", _AMD) == _AMD:
            found.append(_node(number, folder, values))
    return found


def gfx_name(version: int) -> str:
    """Return the name of a ``gfx_target_version``: 90010 is ``gfx90a``, 110501 is ``gfx1151``.

    The number is major·10000 + minor·100 + stepping, the last two printed as hex digits.
    """
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _properties(text: str | None) -> dict[str, int]:
    values: dict[str, int] = {}
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        try:
            values[name] = int(value)
        except ValueError:
            continue
    return values


def _node(number: int, folder: Path, values: Mapping[str, int]) -> KfdNode:
    device = values.get("device_id") or None
    version = values.get("gfx_target_version")
    per_cu = values.get("simd_per_cu")
    minor = values.get("drm_render_minor", -1)
    memory, used = _memory(folder)
    return KfdNode(
        number=number,
        gpu_id=read_int(folder / "gpu_id") or None,
        # Kernels before 5.16 do not show it; libhsakmt then goes by the device id, too.
        gfx=gfx_name(version) if version else GFX_OF_DEVICE.get(device or 0),
        device_id=device,
        compute_units=values["simd_count"] // per_cu if per_cu else None,
        pci=_pci(values),
        render_minor=minor if minor > 0 else None,
        unique_id=values.get("unique_id") or None,
        memory=memory or values.get("local_mem_size") or None,
        memory_used=used,
    )


def _pci(values: Mapping[str, int]) -> str | None:
    location = values.get("location_id")
    if location is None:
        return None
    bus, slot, function = location >> 8 & 0xFF, location >> 3 & 0x1F, location & 7
    return f"{values.get('domain', 0):04x}:{bus:02x}:{slot:02x}.{function}"


def _memory(folder: Path) -> tuple[int | None, int | None]:
    for _, bank in numbered(folder / "mem_banks"):
        values = _properties(read_text(bank / "properties"))
        if values.get("heap_type") in _FRAME_BUFFER_HEAPS:
            return values.get("size_in_bytes"), read_int(bank / "used_memory")
    return None, None
