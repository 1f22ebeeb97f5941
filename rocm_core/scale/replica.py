"""One replica: an actor that supervises one llama-server, and lends it to the front.

    front ──lease(wish)──▶ yields the server's address and key, once, and ends with the server
    front ──HTTP─────────▶ llama-server

A lease is one request, for as long as it lasts: so Ray counts the slots in use and the requests
that wait for one, for routing, autoscaling and draining. Its bytes do not pass through Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rocm_core.backend import server_config
from rocm_core.client import Deadline
from rocm_core.client.calls import Call
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.discover.refs import resolve_ref
from rocm_core.errors import RocmError, ServerDied, ServerStopped
from rocm_core.scale.devices import with_devices
from rocm_core.server import Server, State, StateChanged

log = logging.getLogger("ray.serve")

# Seconds for GET /metrics of a server that may have no free thread.
_METRICS = Timeouts(connect=2.0, first_token=5.0, total=5.0)
_PRINTED = Call("GET", "/metrics", bytes.decode)
# Seconds between two tries to restart a server, over the supervisor's own pauses after a crash.
_RETRY = 1.0
# Seconds between two looks for the fronts that hold leases, and where Ray Serve names its actors.
_FRONTS_PERIOD = 5.0
_NAMESPACE = "serve"
# How many starts of a replaced process may fail before the replica gives up.
_MAX_STARTS = 3


@dataclass(frozen=True)
class ReplicaOptions:
    """What a replica is made of: the part of ``Replicas`` that its actor needs.

    ``host`` is the address that its server listens on; ``None``: the one by which Ray knows its
    node.
    """

    ref: str
    load: LoadConfig
    gpus: float
    slots: int
    host: str | None = None


class LlamaReplica:
    """A supervised llama-server inside a Ray Serve replica. Its methods run on one event loop."""

    # Ray Serve awaits constructors.
    async def __init__(self, options: ReplicaOptions) -> None:  # type: ignore[misc]
        """Start the server; Ray takes the replica into use when this returns.

        Raises:
            RocmError: the server cannot be started.
        """
        from ray import get_runtime_context, nodes, serve

        context = get_runtime_context()
        given = context.get_accelerator_ids().get("GPU", [])
        load = with_devices(options.load, options.gpus, given, os.environ)
        ref = resolve_ref(options.ref)
        self._slots = options.slots
        self._id = str(serve.get_replica_context().replica_id.unique_id)
        # Each request under way, and the front that it belongs to.
        self._leases: dict[asyncio.Future[None], str] = {}
        self._restarts = 0
        self._gone: str = ""
        self._server = Server(
            ref,
            server_config(ref, replace(load, port=0)),
            host=options.host or _address(context.get_node_id(), nodes()),
            api_key=secrets.token_urlsafe(32),
        )
        self._events = self._server.events()
        await self._server.astart()
        self._tasks = [asyncio.create_task(self._keep_running())]
        self._tasks.append(asyncio.create_task(self._look_for_fronts()))

    # -- what the front asks ----------------------------------------------------------------

    async def lease(self, wish: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield where the server listens, once; go on until the caller leaves or the server ends.

        A replica whose server is being restarted yields ``{"ready": False}`` and ends, so that the
        caller goes elsewhere; with ``wish["wait"]`` it waits for the server.
        """
        lease = asyncio.get_running_loop().create_future()
        self._leases[lease] = wish["front"]
        try:
            if not self._server.is_running and wish.get("wait"):
                with contextlib.suppress(RocmError):
                    await self._server.astart()
            url, key = self._server.url, self._server.api_key
            if url is None or lease.done():
                yield {"ready": False, "replica": self._id, "why": self._gone}
                return
            yield {"ready": True, "replica": self._id, "url": url, "key": key}
            await lease
        finally:
            del self._leases[lease]

    async def status(self) -> dict[str, Any]:
        """Return what the server is doing, and its metrics as it prints them."""
        text = ""
        if self._server.is_running:
            with contextlib.suppress(RocmError):
                text = await self._server.aclient.call(_PRINTED, Deadline(_METRICS))
        return {
            "replica": self._id,
            "ready": self._server.is_running,
            "slots": self._slots,
            "requests": len(self._leases),
            "restarts": self._restarts,
            "pid": self._server.pid,
            "metrics": text,
        }

    # -- what Ray asks ----------------------------------------------------------------------

    def record_routing_stats(self) -> dict[str, Any]:
        """Return what the request router may know of this replica."""
        busy = min(len(self._leases), self._slots)
        waiting = len(self._leases) - busy
        ready = self._server.is_running
        return {"ready": ready, "slots": self._slots, "busy": busy, "waiting": waiting}

    def check_health(self) -> None:
        """Raise once the server is not going to be restarted: Ray then replaces the replica.

        Raises:
            ServerDied: it crashed too often, or cannot be started any more.
        """
        if self._gone:
            raise ServerDied(self._gone)

    async def __del__(self) -> None:
        """Stop the server; Ray calls this after the last stream, or when its patience ends."""
        for task in (tasks := self.__dict__.pop("_tasks", [])):
            task.cancel()
        if tasks:
            await asyncio.to_thread(self._server.stop)

    def _end_leases(self, of: Callable[[str], bool]) -> None:
        for lease, front in self._leases.items():
            if of(front) and not lease.done():
                lease.set_result(None)

    async def _look_for_fronts(self) -> None:
        """End the leases of a front that died: Ray lets what it had asked for go on."""
        import ray

        def is_gone(front: str) -> bool:
            try:
                ray.get_actor(front, namespace=_NAMESPACE)
            except ValueError:
                return True
            return False

        while True:
            await asyncio.sleep(_FRONTS_PERIOD)
            for front in set(self._leases.values()):
                if await asyncio.to_thread(is_gone, front):
                    log.warning("%s: the front %s is gone", self._id, front)
                    self._end_leases(front.__eq__)

    # -- keeping it running -----------------------------------------------------------------

    async def _keep_running(self) -> None:
        """Start the server again as soon as it has ended."""
        async for event in self._events:
            if not (isinstance(event, StateChanged) and event.state is State.FAILED):
                continue
            log.warning("%s: %s; it is started again", self._id, event.failure)
            self._end_leases(lambda _: True)
            if self._server.state is State.FAILED and not await self._start_again():
                return
            self._restarts += 1

    async def _start_again(self) -> bool:
        for _ in range(_MAX_STARTS):
            try:
                await self._server.astart()
                return True
            except (ServerDied, ServerStopped) as error:
                self._gone = str(error)
                return False
            except RocmError as error:
                log.warning("%s: %s", self._id, error)
                why = str(error)
                await asyncio.sleep(_RETRY)
        self._gone = f"the server could not be started again: {why}"
        return False


def _address(node: str, nodes: Sequence[Mapping[str, Any]]) -> str:
    """Return the address by which Ray's other nodes reach this one (``ray.nodes()``).

    ``ray.util.get_node_ip_address`` asks the system instead, and gives a node that Ray knows as
    127.0.0.1 an address of the network.
    """
    return next(str(n["NodeManagerAddress"]) for n in nodes if n["NodeID"] == node)
