"""Conversations stay where their prompts are cached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scale.cluster.conversations import cached_share
from tests.scale.cluster.support import LOAD, serving

# Room for the prompts of a third of the conversations: those that each replica has to itself. With
# room for all of them, random routing has half as much cached as the best one, and more with each
# turn, because every replica has seen most of a conversation.
ROOM = "6M"


@pytest.mark.usefixtures("machines")
async def test_twice_as_much_is_cached_as_with_random_routing() -> None:
    with serving(replicas=3, load=replace(LOAD, prompt_cache=ROOM)) as served:
        random = await cached_share(served, 48, 4, spread=True)
        aware = await cached_share(served, 48, 4, spread=False)
    print(f"cached share: {aware.value:.0%} by prefix, {random.value:.0%} at random")
    assert aware.value >= 2 * random.value
