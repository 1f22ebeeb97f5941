"""Read what the host has left: memory for APUs and for a process, and threads."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from rocm_core.gpu.kernel.files import numbered, read_int, read_text

# A user with a higher limit is not counted: that takes a look at every process.
_MANY_THREADS = 4096


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
    limits = [read_int(f"{group}/memory.max") for group in _groups(Path(root), "")]
    known = [available_memory(root), *limits]
    return min((size for size in known if size is not None), default=None)


def threads_left(root: str | os.PathLike[str] = "/") -> int | None:
    """Return how many more threads may be started here; ``None`` if no limit is near.

    That is what this process's control groups leave (``pids.max``, in containers), and what
    ``ulimit -u`` leaves its user (getrlimit(2), RLIMIT_NPROC, which counts threads and does not
    hold for root).
    """
    left = [_user_threads_left(Path(root))]
    for group in [*_groups(Path(root), ""), *_groups(Path(root), "pids")]:
        most = read_int(f"{group}/pids.max")
        if most is not None:
            left.append(max(0, most - (read_int(f"{group}/pids.current") or 0)))
    return min((number for number in left if number is not None), default=None)


def _user_threads_left(root: Path) -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    if sys.platform != "linux" or os.geteuid() == 0:
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if most == resource.RLIM_INFINITY or most > _MANY_THREADS:
        return None
    used, user = 0, os.getuid()
    for _, process in numbered(root / "proc"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if process.stat().st_uid == user:
                used += (process / "task").stat().st_nlink - 2  # a directory for each thread
    return max(0, most - used)


def _groups(root: Path, controller: str) -> list[str]:
    """Return the directories of this process's control group and of those above it.

    Args:
        root: stands for ``/``.
        controller: of cgroup v1; empty: the groups of v2.
    """
    top = os.path.join(root, "sys/fs/cgroup", controller).rstrip("/")  # noqa: PTH118
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        names, _, path = line.partition(":")[2].partition(":")
        if controller in names.split(","):
            parts = [part for part in path.split("/") if part]
            return [f"{top}/{'/'.join(parts[:n])}" for n in range(len(parts), -1, -1)]
    return [] if controller else [top]


def physical_cores() -> int:
    """Return the number of cores, without hyper-threads, that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = set()
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        try:
            cores.add(path.read_text())
        except OSError:
            continue
    return max(1, min(usable or 1, len(cores) or usable or 1))
