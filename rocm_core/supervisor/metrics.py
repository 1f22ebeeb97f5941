"""Measure what a server and the GPUs are doing right now.

    /proc/<pid>          CPU, resident memory      ┐
    /sys (rocm_core.gpu) busy, VRAM, power, …      ├▶ snapshot ──▶ Metrics
    GET /metrics, /slots tokens per second, slots  ┘

Speeds and CPU shares are differences to the previous snapshot. ``None`` always means unknown, never
zero.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rocm_core.client import Client
from rocm_core.engine.command_line import prompt_cache_of
from rocm_core.errors import EndpointNotFound, NotSupported
from rocm_core.gpu import Gpu, ProcessMemory, list_gpus, process_memory

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a server and the GPUs were doing at one moment.

    Attributes:
        at: the moment, in seconds of ``time.monotonic``.
        pid: the server's process.
        cpu_seconds: CPU time that the process has used so far.
        cpu_percent: CPU use since the previous snapshot; 100 is one core.
        rss: bytes of resident memory; a memory-mapped model counts as far as it has been read.
        prompt_cache: bytes of host memory that earlier prompts may take, of the process's command
            line; 0 if they are not kept.
        gpus: the machine's GPUs, with busy share and VRAM.
        process: the process's own memory on each GPU, in the order of ``gpus``.
        slots, slots_busy: number of the server's slots, and of those in use (``GET /slots``).
        requests_processing, requests_deferred: number of requests that are processed, and that
            wait for a slot (``GET /metrics``).
        prompt_per_second: tokens per second of prefill since the previous snapshot (without
            one: since the last scrape of ``/metrics``); ``None`` if there was no prefill.
        predicted_per_second: the same for decoding, over all slots.
        counters: everything in ``GET /metrics``, by llama-server's names.
    """

    at: float
    pid: int | None = None
    cpu_seconds: float | None = None
    cpu_percent: float | None = None
    rss: int | None = None
    prompt_cache: int | None = None
    gpus: tuple[Gpu, ...] = ()
    process: tuple[ProcessMemory, ...] = ()
    slots: int | None = None
    slots_busy: int | None = None
    requests_processing: int | None = None
    requests_deferred: int | None = None
    prompt_per_second: float | None = None
    predicted_per_second: float | None = None
    counters: Mapping[str, float] = field(default_factory=dict)

    def gpus_in_use(self) -> tuple[Gpu, ...]:
        """Return the GPUs on which the process holds memory; all, if the kernel names none."""
        held = zip(self.gpus, self.process, strict=False)
        used = tuple(gpu for gpu, memory in held if memory.vram or memory.gtt)
        return used or self.gpus


def snapshot(
    client: Client | None = None,
    pid: int | None = None,
    *,
    previous: Metrics | None = None,
    gpus: Sequence[Gpu] | None = None,
    root: str | os.PathLike[str] = "/",
) -> Metrics:
    """Measure a server and the GPUs now.

    Args:
        client: client of the server; without one, only process and GPUs are measured.
        pid: the server's process on this machine.
        previous: an earlier snapshot of the same server, for CPU share and speeds.
        gpus: the GPUs, if they have just been listed; default: ``list_gpus(root)``.
        root: directory that holds ``/proc`` and ``/sys``, for tests.

    Raises:
        ClientError: the server does not answer.
    """
    if previous is not None and previous.pid != pid:
        previous = None  # the totals of another process cannot be compared
    found = tuple(list_gpus(root) if gpus is None else gpus)
    at, cpu, rss, prompts = time.monotonic(), None, None, None
    if pid is not None:
        folder = Path(root) / f"proc/{pid}"
        (cpu, rss), prompts = _process(folder), prompt_cache_of(_command_line(folder))
    counters = _counters(client)
    slots, busy = _slots(client)
    before = previous.counters if previous else {}
    return Metrics(
        at=at,
        pid=pid,
        cpu_seconds=cpu,
        cpu_percent=_cpu_percent(previous, at, cpu),
        rss=rss,
        prompt_cache=prompts,
        gpus=found,
        process=tuple(process_memory(pid, found, root)) if pid is not None else (),
        slots=slots,
        slots_busy=busy,
        requests_processing=_whole(counters.get("requests_processing")),
        requests_deferred=_whole(counters.get("requests_deferred")),
        prompt_per_second=_speed(counters, before, "prompt_tokens", "prompt"),
        predicted_per_second=_speed(counters, before, "tokens_predicted", "tokens_predicted"),
        counters=counters,
    )


# -- the process --------------------------------------------------------------------------------


def _process(folder: Path) -> tuple[float | None, int | None]:
    """Read CPU seconds and resident bytes (kernel docs, filesystems/proc)."""
    try:
        # The name, in parentheses, may contain spaces and parentheses.
        after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        pages = (folder / "statm").read_text().split()[1]
        return (int(after_name[11]) + int(after_name[12])) / _TICKS, int(pages) * _PAGE
    except (OSError, IndexError, ValueError):
        return None, None


def _command_line(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _cpu_percent(previous: Metrics | None, at: float, cpu: float | None) -> float | None:
    if previous is None or previous.cpu_seconds is None or cpu is None or at <= previous.at:
        return None
    return max(0.0, 100 * (cpu - previous.cpu_seconds) / (at - previous.at))


# -- the server ---------------------------------------------------------------------------------


def _counters(client: Client | None) -> dict[str, float]:
    try:
        return client.metrics() if client else {}
    except (NotSupported, EndpointNotFound):  # started without --metrics
        return {}


def _slots(client: Client | None) -> tuple[int | None, int | None]:
    try:
        slots = client.slots() if client else None
    except (NotSupported, EndpointNotFound):  # started with --no-slots
        return None, None
    if slots is None:
        return None, None
    return len(slots), sum(bool(slot.get("is_processing")) for slot in slots)


def _speed(
    now: Mapping[str, float], before: Mapping[str, float], tokens: str, work: str
) -> float | None:
    counts, seconds = f"{tokens}_total", f"{work}_seconds_total"
    if counts in before and seconds in before:
        # Every reader of /metrics resets the server's own gauges; totals only grow.
        number = now.get(counts, 0) - before[counts]
        passed = now.get(seconds, 0) - before[seconds]
        return number / passed if number > 0 and passed > 0 else None
    gauge = "prompt_tokens_seconds" if work == "prompt" else "predicted_tokens_seconds"
    return now.get(gauge) or None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
