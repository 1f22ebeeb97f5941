"""Read from the kernel how much GPU memory one process holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rocm_core.gpu.kernel.files import numbered, read_int, read_text
from rocm_core.gpu.listing import Gpu

_UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
# In this order: "memory" is amdgpu's older name for what is resident (kernel docs,
# gpu/drm-usage-stats).
_STATES = ("resident", "memory", "total")


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes that a process holds on one GPU; ``None`` where the kernel does not say."""

    vram: int | None = None
    gtt: int | None = None


def process_memory(
    pid: int, gpus: Sequence[Gpu], root: str | os.PathLike[str] = "/"
) -> list[ProcessMemory]:
    """Return the memory of process ``pid`` on each of ``gpus``, in their order; never raises.

    Sources: ``/proc/<pid>/fdinfo`` (``drm-…`` keys of its open render nodes) and
    ``/sys/class/kfd/kfd/proc/<pid>/vram_<id>``. If both exist, the larger number counts, since
    each leaves out some buffers. Partitions of a card share an address, so for them only the
    second counts.

    Args:
        pid: process id; another user's process shows nothing.
        gpus: from ``list_gpus``.
        root: directory that holds ``/proc`` and ``/sys``.
    """
    clients = _drm_clients(Path(root) / f"proc/{pid}/fdinfo")
    folder = Path(root) / f"sys/class/kfd/kfd/proc/{pid}"
    found: list[ProcessMemory] = []
    for gpu in gpus:
        mine = [c for c in clients if c["drm-pdev"] == gpu.pci] if gpu.partition is None else []
        compute = None if gpu.kfd_id is None else read_int(folder / f"vram_{gpu.kfd_id}")
        found.append(
            ProcessMemory(vram=_larger(_sum(mine, "vram"), compute), gtt=_sum(mine, "gtt"))
        )
    return found


def _drm_clients(folder: Path) -> list[Mapping[str, str]]:
    """Return the ``drm-`` keys of each DRM client; descriptors of one client count once."""
    clients: dict[tuple[str, str], Mapping[str, str]] = {}
    for number, path in numbered(folder):
        text = read_text(path) or ""
        if "drm-driver:" not in text:
            continue
        pairs = (line.partition(":") for line in text.splitlines())
        keys = {key: value.strip() for key, _, value in pairs if key.startswith("drm-")}
        if keys["drm-driver"] == "amdgpu" and "drm-pdev" in keys:
            clients[keys["drm-pdev"], keys.get("drm-client-id", f"fd {number}")] = keys
    return list(clients.values())


def _sum(clients: Sequence[Mapping[str, str]], region: str) -> int | None:
    amounts = [amount for c in clients if (amount := _amount(c, region)) is not None]
    return sum(amounts) if amounts else None


def _amount(keys: Mapping[str, str], region: str) -> int | None:
    for state in _STATES:
        number, _, unit = keys.get(f"drm-{state}-{region}", "").partition(" ")
        if number.isdigit() and unit.strip() in _UNITS:
            return int(number) * _UNITS[unit.strip()]
    return None


def _larger(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None
