"""Send a conversation to the slot of its server that has its earlier turns in its cache.

llama-server chooses a slot by how much of the prompt it shares with what the slot holds. That is
right for one conversation, but two that begin with the same system prompt take each other's
slot, and what is lost is prefilled anew (``benchmarks``, measure ``cache``: of four conversations
on four slots a second turn gets 0.88 of its first turn from the cache, with a slot of its own all
of it).  The price: each slot prefills a common system prompt once.

Only for servers whose slots have contexts of their own. Slots that share one cache are emptied
when they are idle (``--cache-idle-slots``), and a request that names its slot (``id_slot``) gets
nothing back then.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson


class SlotAffinity:
    """Chooses the slots of one server for the conversations of this program. Thread-safe.

    A request that names a busy slot waits for it although others are idle. So slots are named
    only as long as it is known which ones are busy.
    """

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._idle = list(range(slots))  # the longest unused first
        self._unpinned = 0  # requests under way whose slot the server has chosen
        self._holder: dict[int, int] = {}  # conversation → slot
        self._held: dict[int, int] = {}  # slot → conversation

    @contextlib.contextmanager
    def assign(self, messages: Sequence[Mapping[str, Any]] | None) -> Iterator[int | None]:
        """Reserve a slot while a request is under way.

        Args:
            messages: the conversation, its last turn included; ``None`` for any other request.

        Yields:
            The slot's number (``id_slot``); ``None``: the server chooses.
        """
        slot = self._take(_prefixes(messages or ()))
        try:
            yield slot
        finally:
            with self._lock:
                if slot is None:
                    self._unpinned -= 1
                else:
                    self._idle.append(slot)

    def _take(self, prefixes: list[int]) -> int | None:
        with self._lock:
            if self._unpinned or not self._idle or not prefixes:
                self._unpinned += 1
                return None
            known = (self._holder.get(prefix) for prefix in reversed(prefixes[:-1]))
            own = next((slot for slot in known if slot is not None), None)
            slot = own if own in self._idle else self._idle[0]
            self._idle.remove(slot)
            self._holder.pop(self._held.pop(slot, 0), None)
            self._held[slot] = prefixes[-1]
            self._holder[prefixes[-1]] = slot
            return slot


def _prefixes(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return a hash of the first message, of the first two, …"""
    found, so_far = [], 0
    for message in messages:
        so_far = hash((so_far, orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS, default=str)))
        found.append(so_far)
    return found
