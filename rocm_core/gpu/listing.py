"""List the GPUs of this machine: each KFD node joined with its DRM device by the render node."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from rocm_core.display.report import Report, Shown, Table
from rocm_core.gpu.host_limits import available_memory
from rocm_core.gpu.kernel.drm import DrmDevice, drm_device, render_node_problem
from rocm_core.gpu.kernel.kfd import KfdNode, gpu_nodes
from rocm_core.gpu.names import MarketingNames, chip_is_integrated

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Gpu(Shown):
    """One GPU, or one compute partition of a GPU, as ROCm sees it. ``None`` means unknown.

    Attributes:
        node: KFD node number.
        hip_index: index for ``ROCR_VISIBLE_DEVICES`` and, without any mask, for HIP; ``None`` if
            ROCm cannot open the GPU.
        name: marketing name, ``AMD Radeon RX 7900 XTX``.
        gfx: target of its machine code, ``gfx1100``.
        uuid: ``GPU-`` and 16 hex digits, as ``ROCR_VISIBLE_DEVICES`` takes it. APUs and some
            cards have none; partitions of one card share theirs.
        pci: PCI address, ``0000:03:00.0``; partitions of one card share it.
        partition: number of the compute partition (``CPX``, ``DPX``, … modes), else ``None``.
        kfd_id: KFD's id, which names files under ``/sys/class/kfd/kfd/proc``.
        integrated: whether the GPU is part of an APU and shares the system's memory.
        integrated_reason: the evidence for ``integrated``, in words.
        vram_total, vram_used: bytes of the GPU's own memory (an APU's carve-out), and those in
            use by anybody. For a partition: its share, and those in use by compute processes.
        gtt_total, gtt_used: bytes of system memory that the GPU may map, and does.
        memory_total, memory_free: bytes of the pool that ROCm allocates from: the VRAM, or the
            GTT on an APU whose carve-out is smaller (kernel ``amdgpu_ttm.c``,
            ``apu_prefer_gtt``).
        busy_percent: share of recent time with work on the GPU; like the next two ``None`` while
            it sleeps.
        power_watts: power of the package, averaged by the firmware.
        temperature_c: temperature at the edge of the die.
        problem: why ROCm cannot use the GPU, with the remedy; ``None`` if it can.
    """

    node: int
    hip_index: int | None
    name: str
    gfx: str | None
    device_id: int | None
    compute_units: int | None
    uuid: str | None
    pci: str | None
    partition: int | None
    render_node: str | None
    kfd_id: int | None
    integrated: bool | None
    integrated_reason: str
    vram_total: int | None
    vram_used: int | None
    gtt_total: int | None
    gtt_used: int | None
    memory_total: int | None
    memory_free: int | None
    busy_percent: int | None
    power_watts: float | None
    temperature_c: float | None
    problem: str | None

    def __repr__(self) -> str:
        return f"<{self.label}>"

    def _table(self) -> Table:
        return "", Gpus.heads, [Gpus().row(self)]

    @property
    def uses_host_memory(self) -> bool:
        """Whether ROCm allocates from what the host's programs use too.

        That is an APU whose GTT is larger than its carve-out; or one that does not say.
        """
        return bool(self.integrated) and self.memory_total in (None, self.gtt_total)

    @property
    def label(self) -> str:
        """Index, name and facts: ``GPU 0: AMD Radeon RX 7600 (gfx1102, 8.0 GiB, 0000:03:00.0)``."""
        number = "-" if self.hip_index is None else str(self.hip_index)
        size = f"{self.memory_total / _GIB:.1f} GiB" if self.memory_total else None
        part = None if self.partition is None else f"partition {self.partition}"
        facts = ", ".join(fact for fact in (self.gfx, size, self.pci, part) if fact)
        return f"GPU {number}: {self.name}" + (f" ({facts})" if facts else "")


class Gpus(Report[Gpu]):
    """GPUs; a notebook shows them as a table."""

    heads = ("", "name", "target", "memory", "free", "busy", "power", "temp", "PCI address")
    nothing = "no AMD GPU"

    def row(self, item: Gpu) -> tuple[object, ...]:
        """Return the facts that change from card to card, and from moment to moment."""
        from rocm_core.display.table import size

        number = "APU" if item.integrated else "GPU"
        return (
            number if item.hip_index is None else f"{number} {item.hip_index}",
            item.name if item.problem is None else f"{item.name}\n{item.problem}",
            item.gfx,
            size(item.memory_total),
            size(item.memory_free),
            None if item.busy_percent is None else f"{item.busy_percent} %",
            None if item.power_watts is None else f"{item.power_watts:.0f} W",
            None if item.temperature_c is None else f"{item.temperature_c:.0f} °C",
            item.pci,
        )


def list_gpus(root: str | os.PathLike[str] = "/") -> list[Gpu]:
    """Return every AMD GPU that the kernel's compute driver shows, in ROCm's order.

    Reads files of ``/sys`` and ``/proc``; loads no ROCm library and starts no process. Never
    raises: empty without a GPU or without the ``amdgpu`` driver.

    Args:
        root: directory that holds ``/sys``, ``/proc`` and ``/dev``; another than ``/`` for a
            recorded machine.
    """
    nodes = gpu_nodes(root)
    names = MarketingNames(root) if nodes else None
    available = available_memory(root) if nodes else None
    shared = Counter(_card(node) for node in nodes if node.unique_id)
    gpus = Gpus()
    usable = 0
    for node in nodes:
        assert names is not None
        problem = render_node_problem(root, node.render_minor)
        joined = _joined(
            node,
            drm_device(root, node.render_minor),
            names=names,
            # libhsakmt leaves out nodes whose render node it cannot open, and numbers the rest.
            index=None if problem else usable,
            partitioned=shared[_card(node)] > 1,
            problem=problem,
            available=available,
        )
        gpus.append(joined)
        usable += problem is None
    return gpus


def _card(node: KfdNode) -> tuple[int | None, str]:
    return node.unique_id, (node.pci or "").rpartition(".")[0]


def _joined(
    node: KfdNode,
    drm: DrmDevice,
    *,
    names: MarketingNames,
    index: int | None,
    partitioned: bool,
    problem: str | None,
    available: int | None,
) -> Gpu:
    integrated, reason = _integrated(node, drm)
    memory = _memory(node, drm, partitioned, integrated)
    total, free = _allocatable(memory, integrated, available)
    name = drm.product_name or names.find(node.device_id, drm.revision, node.compute_units)
    # The kernel puts a partition's number into the function digit of the card's address.
    base, _, function = (node.pci or "").rpartition(".")
    return Gpu(
        node=node.number,
        hip_index=index,
        name=name or ("AMD Radeon Graphics" if integrated else "AMD GPU"),
        gfx=node.gfx,
        device_id=node.device_id,
        compute_units=node.compute_units,
        uuid=_uuid(node, drm),
        pci=f"{base}.0" if partitioned else drm.pci or node.pci,
        partition=int(function) if partitioned else None,
        render_node=None if node.render_minor is None else f"renderD{node.render_minor}",
        kfd_id=node.gpu_id,
        integrated=integrated,
        integrated_reason=reason,
        vram_total=memory.vram_total,
        vram_used=memory.vram_used,
        gtt_total=memory.gtt_total,
        gtt_used=memory.gtt_used,
        memory_total=total,
        memory_free=free,
        busy_percent=drm.busy_percent,
        power_watts=drm.power_watts,
        temperature_c=drm.temperature_c,
        problem=problem,
    )


def _uuid(node: KfdNode, drm: DrmDevice) -> str | None:
    if node.unique_id:
        return f"GPU-{node.unique_id:016x}"
    try:
        return f"GPU-{int(drm.unique_id, 16):016x}" if drm.unique_id else None
    except ValueError:
        return None


def _integrated(node: KfdNode, drm: DrmDevice) -> tuple[bool | None, str]:
    known = chip_is_integrated(node.gfx, node.device_id)
    if known is not None:
        return known, f"{node.gfx} is {'an APU' if known else 'a card'}"
    if drm.has_board_info:
        return False, "the kernel shows board_info, which APUs lack"
    if drm.vram_vendor:
        return False, f"its memory chips are made by {drm.vram_vendor}"
    vram, gtt = drm.vram_total, drm.gtt_total
    if vram and gtt and gtt >= 8 * _GIB and vram <= 4 * _GIB and gtt >= 4 * vram:
        return True, "little memory of its own, much of the system's"
    return None, "nothing tells"


class _Memory(NamedTuple):
    vram_total: int | None
    vram_used: int | None
    gtt_total: int | None
    gtt_used: int | None


def _memory(node: KfdNode, drm: DrmDevice, partitioned: bool, integrated: bool | None) -> _Memory:
    if partitioned:  # the DRM figures are those of the whole card
        return _Memory(node.memory, node.memory_used, None, None)
    if drm.vram_total is None and drm.gtt_total is None:  # a container without /sys/class/drm
        bank, used = node.memory, node.memory_used
        return _Memory(None, None, bank, used) if integrated else _Memory(bank, used, None, None)
    return _Memory(drm.vram_total, drm.vram_used, drm.gtt_total, drm.gtt_used)


def _allocatable(
    memory: _Memory, integrated: bool | None, available: int | None
) -> tuple[int | None, int | None]:
    """Return total and free bytes of the pool that ROCm allocates from."""
    vram, vram_used, gtt, gtt_used = memory
    if integrated and gtt and gtt > (vram or 0):
        free = None if gtt_used is None else max(0, gtt - gtt_used)
        if free is not None and available is not None:
            free = min(free, available)
        return gtt, free
    if vram is None or vram_used is None:
        return vram, None
    # We read the two files one after the other, so the difference can be negative.
    return vram, max(0, vram - vram_used)
