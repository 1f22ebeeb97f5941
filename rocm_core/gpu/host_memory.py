"""Read how much of the host's memory is available: to APUs, and to a process."""

from __future__ import annotations

import os
from pathlib import Path

from rocm_core.gpu.files import read_int, read_text


def available_memory(root: str | os.PathLike[str] = "/") -> int | None:
    """Return the kernel's ``MemAvailable`` of ``/proc/meminfo`` in bytes; ``None`` if unknown."""
    for line in (read_text(Path(root) / "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable" and (kib := value.removesuffix("kB").strip()).isdigit():
            return int(kib) * 1024
    return None


def host_memory(root: str | os.PathLike[str] = "/") -> int | None:
    """Return the bytes of host memory that a new process can have; ``None`` if unknown.

    The kernel's ``MemAvailable``, or the limit of this process's control group if that is less
    (Linux ``Documentation/admin-guide/cgroup-v2.rst``, ``memory.max``): a container sees the whole
    machine in ``/proc/meminfo``.
    """
    known = [available_memory(root), *_group_limits(Path(root))]
    return min((size for size in known if size is not None), default=None)


def _group_limits(root: Path) -> list[int | None]:
    top = root / "sys/fs/cgroup"
    named = (read_text(root / "proc/self/cgroup") or "").rpartition("0::/")[2].splitlines()
    group = top / (named[0] if named else "")
    groups = [group, *group.parents]
    return [read_int(each / "memory.max") for each in groups if each.is_relative_to(top)]
