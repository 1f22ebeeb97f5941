"""The servers that a kernel can show: its own, and the shared ones of its user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rocm_core.client import Client
from rocm_core.display.report import Report
from rocm_core.display.table import size
from rocm_core.errors import RocmError
from rocm_core.shared.admin import SharedServerInfo, list_servers
from rocm_core.shared.registry import supported
from rocm_core.supervisor import exit_hooks
from rocm_core.supervisor.metrics import Metrics, snapshot
from rocm_core.supervisor.server import SupervisedServer

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class KernelServer:
    """A server.

    Attributes:
        model: the model's name.
        owner: ``this kernel``, or how many programs share it.
        state: as ``Server.state`` and ``llama-rocm ps`` name it.
        pid: of the server's process.
        context: tokens of one slot.
        slots: those in use, and all.
        memory: bytes that are resident.
        left: seconds until an unused one ends; ``None``: with its last user.
    """

    model: str
    owner: str
    state: str
    pid: int | None
    context: int | None
    slots: str
    memory: int | None
    left: float | None = None


class Servers(Report[KernelServer]):
    """Servers; a notebook shows them as a table."""

    heads = ("model", "of", "state", "pid", "context", "slots in use", "memory", "ends")
    nothing = "no server runs: a model starts one at its first use"

    def row(self, item: KernelServer) -> tuple[object, ...]:
        """Return the cells of one server."""
        left = item.left
        ends = "with its last user" if left is None else f"when unused, in {left:.0f} s"
        ends = "when it is stopped" if left == FOREVER else ends
        facts = (item.model, item.owner, item.state, item.pid, item.context, item.slots)
        return (*facts, size(item.memory), ends)


def list_kernel_servers() -> Servers:
    """Return this kernel's servers, then the shared ones."""
    own = [_own(server) for server in own_servers()]
    shared = [_shared(found) for found in list_servers()] if supported() else []
    pids = {server.pid for server in shared if server.pid is not None}
    return Servers([*(server for server in own if server.pid not in pids), *shared])


def own_servers() -> list[SupervisedServer]:
    """Return the servers that this program started or attached to, and that still run."""
    found = [server for server in list(exit_hooks.live) if isinstance(server, SupervisedServer)]
    return sorted(found, key=lambda server: server.ref.name)


def watched_servers() -> Iterator[tuple[str, Client, int | None, bool]]:
    """Yield name, client, pid of each server that answers, and whether the client is to be closed.

    Its own servers' clients belong to them; a client of a shared server is made here.
    """
    seen: set[int | None] = set()
    for server in own_servers():
        if server.is_running:
            seen.add(server.pid)
            yield server.ref.name, server.client, server.pid, False
    for found in list_servers() if supported() else []:
        entry = found.entry
        if entry is None or entry.server.pid in seen:
            continue
        address = f"http://127.0.0.1:{entry.port}" if entry.port else "http://localhost"
        client = Client(address, uds=entry.socket, api_key=entry.api_key)
        yield entry.model, client, entry.server.pid, True


def _own(server: SupervisedServer) -> KernelServer:
    seen = context = None
    try:
        if server.is_running:
            seen = snapshot(server.client, server.pid, gpus=())
            context = server.client.props().n_ctx
    except RocmError:  # it has just ended
        pass
    owner = "this kernel"
    return KernelServer(
        server.ref.name, owner, server.state.value, server.pid, context, _slots(seen), _rss(seen)
    )


def _shared(found: SharedServerInfo) -> KernelServer:
    facts: dict[str, Any] = found.facts
    clients = facts["clients"]
    forever = facts["keep_alive"] == -1
    return KernelServer(
        model=facts["model"],
        owner="shared" if clients is None else f"shared, {clients} use it",
        state=facts["state"],
        pid=facts["pid"],
        context=facts["n_ctx"],
        slots=f"{_known(facts['slots_busy'])} of {_known(facts['slots_total'])}",
        memory=facts["rss"],
        left=FOREVER if forever else facts["keep_alive_left"],
    )


def _slots(seen: Metrics | None) -> str:
    return "-" if seen is None else f"{_known(seen.slots_busy)} of {_known(seen.slots)}"


def _rss(seen: Metrics | None) -> int | None:
    return seen.rss if seen else None


def _known(value: object) -> str:
    return "-" if value is None else str(value)
