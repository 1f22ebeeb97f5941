"""The shared servers from outside: list them, find one by name, stop it. For people's commands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocm_core.errors import ModelNotFound, ServerStalled
from rocm_core.gpu import list_gpus, process_memory
from rocm_core.shared.process_identity import ProcessId
from rocm_core.shared.protocol import Channel, Line
from rocm_core.shared.registry import Entry, Registry

_ANSWER = 5.0
# A keeper breaks off streams, and gives its server five seconds before SIGKILL.
_END = 10.0
_LAST_THREADS = 1.0
_POLL = 0.02


@dataclass(frozen=True)
class SharedServerInfo:
    """A shared server.

    Attributes:
        entry: what the registry says; ``None`` while the server starts.
        facts: what its keeper says: ``key``, ``model``, ``ref``, ``state``, ``pid``,
            ``keeper_pid``, ``address``, ``slots_busy``, ``slots_total``, ``n_ctx`` (tokens per
            slot), ``vram`` (bytes), ``attached`` (programs), ``idle``, ``keep_alive``,
            ``keep_alive_left`` (seconds), ``log`` (path). ``None`` where unknown; ``state`` is
            ``"unresponsive"`` if the keeper does not answer.
    """

    key: str
    entry: Entry | None
    facts: Line

    @property
    def keeper(self) -> ProcessId | None:
        """The process that owns it."""
        if self.entry is not None:
            return self.entry.keeper
        pid = self.facts["keeper_pid"]
        return ProcessId.of(pid) if pid else None

    @property
    def log(self) -> Path:
        """Where its log is."""
        return Path(self.facts["log"])


def list_servers(registry: Registry | None = None) -> list[SharedServerInfo]:
    """Every shared server of this user; what dead keepers left behind is deleted."""
    registry = registry or Registry.open()
    registry.sweep()
    return [_listing(registry, key) for key in registry.known()]


def find_servers(name: str, registry: Registry | None = None) -> list[SharedServerInfo]:
    """Those whose model's name, path, key or pid is ``name``.

    Raises:
        ModelNotFound: there is none.
    """
    servers = list_servers(registry)
    found = [server for server in servers if name in _names(server)]
    if not found:
        there = ", ".join(f"{s.facts['model']} (pid {s.facts['pid']})" for s in servers)
        raise ModelNotFound(f"no shared server {name!r}; there are: {there or 'none'}")
    return found


def stop_server(server: SharedServerInfo, registry: Registry | None = None) -> None:
    """End it, whoever uses it; returns when it is gone.

    Its keeper is asked to. One that does not answer is killed, and the kernel ends its server;
    but only if pid and start time are those of the registry entry.

    Raises:
        ServerStalled: it is still there.
    """
    registry = registry or Registry.open()
    keeper = server.keeper
    try:
        channel = Channel.connect(registry.path(server.key, "sock"), _ANSWER)
    except OSError:
        channel = None
    if channel is not None:
        try:
            channel.send(op="stop")
            channel.receive(_END)
        except TimeoutError:
            if keeper is not None:
                keeper.kill()
        finally:
            channel.close()
    _await_end(server, keeper)
    # The threads of a killed keeper may hold its lock a moment longer than it lives.
    end = time.monotonic() + _LAST_THREADS
    registry.sweep()
    while server.key in registry.known() and time.monotonic() < end:
        time.sleep(_POLL)
        registry.sweep()


def _await_end(server: SharedServerInfo, keeper: ProcessId | None) -> None:
    # Its lock proves nothing: others who use the model may have made a new keeper already.
    end = time.monotonic() + _END
    while keeper is not None and keeper.alive:
        if time.monotonic() > end:
            raise ServerStalled(
                f"the keeper of {server.facts['model']} (pid {keeper.pid}) does not end; "
                "it may be suspended"
            )
        time.sleep(_POLL)


def _listing(registry: Registry, key: str) -> SharedServerInfo:
    entry = registry.read(key)
    facts = _asked(registry, key) or _silent(registry, key, entry)
    return SharedServerInfo(key, entry, facts | {"vram": vram_of(facts["pid"])})


def vram_of(pid: int | None, root: str = "/") -> int | None:
    """Bytes of GPU memory that a process holds on all GPUs; ``None`` where nobody says."""
    held = process_memory(pid, list_gpus(root), root) if pid else []
    known = [memory.vram for memory in held if memory.vram is not None]
    return sum(known) if known else None


def _asked(registry: Registry, key: str) -> Line | None:
    try:
        channel = Channel.connect(registry.path(key, "sock"), _ANSWER)
    except OSError:
        return None
    try:
        channel.send(op="status")
        return channel.receive(_ANSWER)
    except OSError:  # a timeout among them
        return None
    finally:
        channel.close()


def _silent(registry: Registry, key: str, entry: Entry | None) -> Line:
    facts: dict[str, Any] = dict.fromkeys(
        ("pid", "keeper_pid", "address", "slots_busy", "slots_total", "n_ctx", "attached")
    )
    facts |= dict.fromkeys(("idle", "keep_alive", "keep_alive_left"))
    facts |= {"key": key, "model": "?", "ref": "", "state": "unresponsive"}
    facts["log"] = str(registry.path(key, "log"))
    if entry is not None:
        facts |= {"model": entry.model, "ref": entry.ref}
        facts |= {"pid": entry.server.pid, "keeper_pid": entry.keeper.pid}
    return facts


def _names(server: SharedServerInfo) -> set[str]:
    facts = server.facts
    return {str(facts[name]) for name in ("model", "ref", "key", "pid", "keeper_pid")}
