"""What nothing may leave behind: a busy slot, a process, a descriptor, a thread, memory."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import psutil

from rocm_core import Client, TextModel
from tests.support.programs import in_time, runs, wait_for

FREE_WITHIN = 0.1
"""Seconds after which the slot of a stream that was left must be free."""

GONE_WITHIN = 2.0
"""Seconds after which the servers of a program that has died must be gone."""


class Adapter(Protocol):
    """A class of a framework, around a model."""

    @property
    def text_model(self) -> TextModel: ...


Owner = Client | TextModel | Adapter

# -- slots ------------------------------------------------------------------------------------


def busy(of: Owner) -> int:
    """Slots of its server that work on an answer."""
    client = of if isinstance(of, Client) else _model(of).connection.client
    return _count(client.slots())


async def abusy(of: TextModel | Adapter) -> int:
    """The same in an event loop."""
    return _count(await _model(of).connection.aclient.slots())


def assert_freed(of: Owner, within: float = FREE_WITHIN) -> None:
    """No slot is busy any more, at the latest in so many seconds (``in_time``)."""
    wait_for(lambda: not busy(of), in_time(within))


async def assert_afreed(of: TextModel | Adapter, within: float = FREE_WITHIN) -> None:
    """The same in an event loop."""
    begun = time.monotonic()
    while await abusy(of):
        assert time.monotonic() - begun < in_time(within), "a slot is still busy"
        await asyncio.sleep(0.002)


def until_busy(of: Owner, slots: int = 1) -> None:
    """Wait until so many slots work."""
    wait_for(lambda: busy(of) == slots)


async def auntil_busy(of: TextModel | Adapter, slots: int = 1) -> None:
    """The same in an event loop."""
    begun = time.monotonic()
    while await abusy(of) != slots:
        assert time.monotonic() - begun < 10
        await asyncio.sleep(0.001)


def _model(of: TextModel | Adapter) -> TextModel:
    return of if isinstance(of, TextModel) else of.text_model


def _count(slots: list[dict[str, Any]]) -> int:
    return sum(slot["is_processing"] for slot in slots)


# -- processes and what they hold -------------------------------------------------------------


def assert_gone(pids: Iterable[int], within: float = GONE_WITHIN) -> None:
    """None of them runs any more, at the latest in so many seconds (``in_time``)."""
    left = list(pids)
    wait_for(lambda: not any(map(runs, left)), in_time(within))


_KINDS = {
    "daemon_start.py": "daemon of a shared server",
    "embedded_start.py": "server (embedded engine)",
    "llama-server": "server (llama-server)",
    "parent_death.py": "a server about to be one",
    "setpriv": "a server about to be one",
}


def lives(process: psutil.Process) -> bool:
    """Whether this very process, by pid and start time, still runs; a zombie does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def processes_of(runtime_directory: str) -> set[psutil.Process]:
    """The other processes that have this XDG_RUNTIME_DIR: whoever a program started, and theirs.

    Found by their environment, so that neither a new parent nor a new session hides one.
    """
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            ours = process.environ().get("XDG_RUNTIME_DIR") == runtime_directory
            if ours and process.pid != os.getpid() and lives(process):
                found.add(process)
    return found


def described(process: psutil.Process) -> str:
    """Its kind, pid, state, age, parent and command."""
    try:
        with process.oneshot():
            words, parent = process.cmdline(), process.parent()
            names = [word.rpartition("/")[2] for word in words]
            kind = next((kind for name, kind in _KINDS.items() if name in names), "program")
            by = f"{parent.pid} ({parent.name()})" if parent else "none"
            age = time.time() - process.create_time()
            state, command = process.status(), " ".join(words)[:300]
        return f"{kind}: pid {process.pid}, {state}, {age:.1f} s old, parent {by}: {command}"
    except psutil.NoSuchProcess:
        return f"pid {process.pid}, which has just ended"


@dataclass
class Footprint:
    """What this process holds; it may get less when a server of an earlier test is let go."""

    descriptors: int
    threads: int
    megabytes: float

    @classmethod
    def now(cls) -> Footprint:
        gc.collect()
        process = psutil.Process()
        return cls(process.num_fds(), threading.active_count(), process.memory_info().rss / 2**20)

    def assert_no_more(self, megabytes: float) -> None:
        """Nothing has been added since, but for so much memory."""
        now = Footprint.now()
        assert now.descriptors <= self.descriptors
        assert now.threads <= self.threads
        assert now.megabytes < self.megabytes + megabytes
