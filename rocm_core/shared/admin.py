"""List the shared servers, find one by name, stop it: what the commands ``ps``, ``stop`` and
``logs`` do.

They work for servers of every protocol version (see ``protocol``): a fact that another version's
daemon does not send is ``None``.
"""

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
from rocm_core.supervisor.metrics import snapshot

_REPLY_TIMEOUT = 5.0
# A daemon aborts its streams and gives its server five seconds before SIGKILL.
_EXIT_TIMEOUT = 10.0
_LOCK_TIMEOUT = 1.0
_POLL = 0.02
_FACTS = (
    *("pid", "daemon_pid", "protocol", "address", "slots_busy", "slots_total", "n_ctx", "build"),
    *("clients", "idle", "keep_alive", "keep_alive_left"),
)


@dataclass(frozen=True)
class SharedServerInfo:
    """A shared server.

    Attributes:
        key: the server's key in the registry.
        entry: the registry entry; ``None`` while the server starts.
        facts: what its daemon says: ``key``, ``model``, ``ref``, ``state``, ``pid``,
            ``daemon_pid``, ``protocol`` (version), ``address``, ``slots_busy``, ``slots_total``,
            ``n_ctx`` (tokens per slot), ``build`` (of llama.cpp), ``vram``, ``rss`` (bytes of GPU
            memory and of resident memory), ``prompt_cache`` (bytes that earlier prompts may take
            of the latter), ``clients`` (programs that hold a lease), ``idle``, ``keep_alive``,
            ``keep_alive_left`` (seconds), ``log`` (path).
            ``None`` where unknown; ``state`` is ``"unresponsive"`` if the daemon does not answer.
    """

    key: str
    entry: Entry | None
    facts: Line

    @property
    def daemon(self) -> ProcessId | None:
        """The process that owns the server; ``None`` if it is unknown or gone."""
        if self.entry is not None:
            return self.entry.daemon
        pid = self.facts["daemon_pid"]
        return ProcessId.of(pid) if pid else None

    @property
    def log(self) -> Path:
        """Path of the server's log."""
        return Path(self.facts["log"])


def list_servers(registry: Registry | None = None) -> list[SharedServerInfo]:
    """Return every shared server of this user; deletes the files of dead daemons.

    Args:
        registry: default: the user's own (``Registry.open``, whose errors it raises).
    """
    registry = registry or Registry.open()
    registry.sweep()
    return [_info(registry, key) for key in registry.known()]


def find_servers(name: str, registry: Registry | None = None) -> list[SharedServerInfo]:
    """Return the shared servers whose model's name, path, key or pid is ``name``.

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
    """Stop a shared server even if programs use it; returns when its daemon is gone.

    The daemon is asked to stop. One that does not react within 10 s is killed, and the kernel then
    ends its server; but only if pid and start time are those of the registry entry.

    Raises:
        ServerStalled: the daemon still runs.
    """
    registry = registry or Registry.open()
    daemon = server.daemon
    try:
        channel = Channel.connect(registry.path(server.key, "sock"), _REPLY_TIMEOUT)
    except OSError:
        channel = None
    if channel is not None:
        try:
            channel.send(op="stop")
            channel.receive(_EXIT_TIMEOUT)
        except TimeoutError:
            if daemon is not None:
                daemon.kill()
        finally:
            channel.close()
    _await_exit(server, daemon)
    # The threads of a killed daemon may hold its lock a moment longer than it lives.
    end = time.monotonic() + _LOCK_TIMEOUT
    registry.sweep()
    while server.key in registry.known() and time.monotonic() < end:
        time.sleep(_POLL)
        registry.sweep()


def _await_exit(server: SharedServerInfo, daemon: ProcessId | None) -> None:
    # A locked lock proves nothing: another program may have started a new daemon already.
    end = time.monotonic() + _EXIT_TIMEOUT
    while daemon is not None and daemon.alive:
        if time.monotonic() > end:
            raise ServerStalled(
                f"the daemon of {server.facts['model']} (pid {daemon.pid}) does not end; "
                "it may be suspended"
            )
        time.sleep(_POLL)


def vram_of(pid: int | None, root: str = "/") -> int | None:
    """Return the bytes of GPU memory that a process holds on all GPUs; ``None`` if unknown."""
    held = process_memory(pid, list_gpus(root), root) if pid else []
    known = [memory.vram for memory in held if memory.vram is not None]
    return sum(known) if known else None


def _info(registry: Registry, key: str) -> SharedServerInfo:
    entry = registry.read(key)
    facts = _from_entry(registry, key, entry) | (_from_daemon(registry, key) or {})
    seen = snapshot(None, facts["pid"], gpus=())
    memory = {"rss": seen.rss, "prompt_cache": seen.prompt_cache}
    return SharedServerInfo(key, entry, facts | {"vram": vram_of(facts["pid"])} | memory)


def _from_daemon(registry: Registry, key: str) -> Line | None:
    try:
        channel = Channel.connect(registry.path(key, "sock"), _REPLY_TIMEOUT)
    except OSError:
        return None
    try:
        channel.send(op="status")
        reply = channel.receive(_REPLY_TIMEOUT)
    except OSError:  # a timeout among them
        return None
    finally:
        channel.close()
    return _renamed(reply) if reply is not None and "state" in reply else None


def _renamed(reply: Line) -> Line:
    # A package without a protocol version has other names for two facts.
    for before, now in (("keeper_pid", "daemon_pid"), ("attached", "clients")):
        if before in reply:
            reply.setdefault(now, reply.pop(before))
    return reply


def _from_entry(registry: Registry, key: str, entry: Entry | None) -> Line:
    facts: dict[str, Any] = dict.fromkeys(_FACTS)
    facts |= {"key": key, "model": "?", "ref": "", "state": "unresponsive"}
    facts["log"] = str(registry.path(key, "log"))
    if entry is not None:
        facts |= {"model": entry.model, "ref": entry.ref}
        facts |= {"pid": entry.server.pid, "daemon_pid": entry.daemon.pid}
    return facts


def _names(server: SharedServerInfo) -> set[str]:
    facts = server.facts
    return {str(facts[name]) for name in ("model", "ref", "key", "pid", "daemon_pid")}
