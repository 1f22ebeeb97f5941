"""Which replica gets a request: the one with its prompt cached, unless it is overloaded. Pure.

key seen before ──▶ the replica that had it ─┐
new key ──▶ the two that its hash names,     ├─▶ not overloaded: first in line
            the one with fewer requests ─────┘    else, and without a key: two at random
"""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence

# Conversations whose replica is remembered; about 150 bytes each.
_REMEMBERED = 65536
_ROUNDS = 2


class Placement:
    """Where conversations went, and where the next request should go. Not thread-safe."""

    def __init__(self, slots: int, rng: random.Random | None = None) -> None:
        """Args:
        slots: requests that a replica computes at once.
        rng: for tests.
        """
        self._slots = slots
        self._rng = rng or random.Random()
        self._homes: OrderedDict[str, str] = OrderedDict()

    def ranked(
        self, key: str, replicas: Sequence[str], load: Callable[[str], int]
    ) -> list[list[str]]:
        """Return groups of replicas; the first group with room gets the request.

        Args:
            key: of the request's prompt (``prompts.prompt_key``); empty: it has none.
            replicas: ids of those that may have it.
            load: returns how many requests a replica has.
        """
        if not replicas:
            return []
        pair = self._two_of(replicas)
        home = self._home(key, replicas, load) if key else None
        if home is None:
            return [pair, list(replicas)]
        least = min(map(load, pair))
        # Two whole rounds of requests are before this one, which others would begin at once: to
        # compute the prompt anew takes less time, and a conversation seldom moves.
        if load(home) >= least + _ROUNDS * self._slots:
            return [pair, [home], list(replicas)]
        return [[home], pair, list(replicas)]

    def went_to(self, key: str, replica: str) -> None:
        """Remember that ``replica`` has the prompt with ``key`` in its cache now."""
        if key:
            self._homes[key] = replica
            self._homes.move_to_end(key)
            if len(self._homes) > _REMEMBERED:
                self._homes.popitem(last=False)

    def _home(self, key: str, replicas: Sequence[str], load: Callable[[str], int]) -> str:
        known = self._homes.get(key)
        if known is not None and known in replicas:
            return known
        # The hash makes several fronts, which do not know each other, agree on two replicas.
        first, second = named_by(key, replicas)
        return second if load(second) < load(first) else first

    def _two_of(self, replicas: Sequence[str]) -> list[str]:
        return list(replicas) if len(replicas) < 3 else self._rng.sample(replicas, 2)


def named_by(key: str, replicas: Sequence[str]) -> tuple[str, str]:
    """Return the two replicas that a key names by rendezvous hashing.

    A replica that goes or comes changes the names of the keys that it has, or gets, alone.
    """
    scored = sorted(replicas, key=lambda replica: _score(key, replica))
    return scored[-1], scored[-2 if len(scored) > 1 else -1]


def _score(key: str, replica: str) -> bytes:
    return hashlib.blake2b(f"{key}/{replica}".encode(), digest_size=8).digest()
