"""Ray Serve's request router with our placement: loaded by Ray, in the processes that route.

``ray.serve.llm`` has a prefix-aware router, but does not import without packages of its own; this
one stands on the same interface (``ray.serve.request_router.RequestRouter``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from rocm_core.scale.routing.placement import Placement


class PrefixRouter(RequestRouter):
    """Sends a conversation where its earlier turns are, else to the less loaded of two replicas."""

    def initialize_state(self, slots: int = 1, **_: Any) -> None:
        """Take the options of ``RequestRouterConfig.request_router_kwargs``."""
        self._slots = slots
        self._placement = Placement(slots)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return ranks of replicas, the preferred one first."""
        by_id = {_name(replica.replica_id): replica for replica in candidate_replicas}
        wish = _wish(pending_request)
        if pending_request is not None:
            # Else Ray tries again without a pause as long as every replica is full.
            pending_request.routing_context.should_backoff = True
        ids = _usable(by_id, wish.get("avoid", ()))
        ranks = self._placement.ranked(wish.get("key", ""), ids, self._load_of(by_id))
        return [[by_id[name] for name in rank] for rank in ranks]

    def _load_of(self, by_id: dict[str, RunningReplica]) -> Any:
        known = self.replica_queue_len_cache

        def load(name: str) -> int:
            # Unknown right after a replica appeared, or when nothing was sent for a while.
            return known.get(by_id[name].replica_id) or 0

        return load

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        """Remember which replica has the prompt."""
        self._placement.went_to(_wish(pending_request).get("key", ""), _name(replica_id))


def _wish(request: PendingRequest | None) -> dict[str, Any]:
    """Return what the front says of the request: its key, and the replicas to avoid."""
    first = request.args[0] if request is not None and request.args else None
    return first if isinstance(first, dict) else {}


def _usable(by_id: dict[str, RunningReplica], avoid: Sequence[str]) -> list[str]:
    """Return the replicas to choose from: none that failed this request, if there are others."""
    left = [name for name in by_id if name not in avoid]
    ready = [name for name in left if by_id[name].routing_stats.get("ready", True)]
    return ready or left or list(by_id)


def _name(replica_id: ReplicaID) -> str:
    return str(replica_id.unique_id)
