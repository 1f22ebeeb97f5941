"""Which replica gets a request: the one with its prompt, unless it is overloaded."""

from __future__ import annotations

import collections
import random

from hypothesis import given
from hypothesis import strategies as st

from rocm_core.scale.routing.placement import Placement, named_by

REPLICAS = ["a", "b", "c"]
SLOTS = 4


def placement() -> Placement:
    return Placement(SLOTS, random.Random(1))


def test_a_conversation_stays_where_its_first_turn_was() -> None:
    place = placement()
    place.went_to("key", "c")
    for load in ({"a": 0, "b": 0, "c": 3}, {"a": 0, "b": 0, "c": 3}):
        assert place.ranked("key", REPLICAS, load.__getitem__)[0] == ["c"]


def test_it_waits_for_its_replica_as_long_as_no_other_is_much_freer() -> None:
    place = placement()
    place.went_to("key", "c")
    load = {"a": 2, "b": 2, "c": 5}
    assert place.ranked("key", REPLICAS, load.__getitem__)[0] == ["c"]


def test_it_leaves_an_overloaded_replica() -> None:
    place = placement()
    place.went_to("key", "c")
    load = {"a": 0, "b": 0, "c": 9}
    first, second, *_ = place.ranked("key", ["a", "c"], load.__getitem__)
    assert set(first) == {"a", "c"}  # Ray takes the less loaded of them
    assert second == ["c"]


def test_a_replica_that_is_gone_is_forgotten() -> None:
    place = placement()
    place.went_to("key", "c")
    assert place.ranked("key", ["a", "b"], lambda _: 0)[0][0] in {"a", "b"}


def test_fronts_that_do_not_know_each_other_agree() -> None:
    for key in map(str, range(50)):
        one, other = (Placement(SLOTS, random.Random(seed)) for seed in (1, 2))
        assert (
            one.ranked(key, REPLICAS, lambda _: 0)[0] == other.ranked(key, REPLICAS, lambda _: 0)[0]
        )


def test_a_new_replica_takes_only_its_own_keys() -> None:
    keys = [str(number) for number in range(300)]
    before = {key: named_by(key, REPLICAS)[0] for key in keys}
    after = {key: named_by(key, [*REPLICAS, "d"])[0] for key in keys}
    moved = [key for key in keys if before[key] != after[key]]
    assert all(after[key] == "d" for key in moved)
    assert 30 < len(moved) < 120  # a quarter


def test_new_conversations_spread() -> None:
    place, load = placement(), collections.Counter(dict.fromkeys(REPLICAS, 0))
    for number in range(48):
        (home,) = place.ranked(str(number), REPLICAS, load.__getitem__)[0]
        place.went_to(str(number), home)
        load[home] += 1
    assert max(load.values()) - min(load.values()) <= 4


def test_without_a_prompt_two_are_drawn() -> None:
    place, seen = placement(), set()
    for _ in range(50):
        pair, everyone = place.ranked("", REPLICAS, lambda _: 0)
        assert len(pair) == 2 and everyone == REPLICAS
        seen.add(tuple(sorted(pair)))
    assert len(seen) == 3


def test_no_replica_at_all() -> None:
    assert placement().ranked("key", [], lambda _: 0) == []


def test_what_is_remembered_is_bounded() -> None:
    place = placement()
    for number in range(70_000):
        place.went_to(str(number), "a")
    assert len(place._homes) == 65536


@given(
    st.text(max_size=3),
    st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 40)),
)
def test_every_replica_can_get_it_in_the_end(
    key: str, replicas: list[str], load: dict[str, int]
) -> None:
    ranks = placement().ranked(key, replicas, lambda name: load.get(name, 0))
    assert ranks[-1] == replicas
    assert all(set(rank) <= set(replicas) and rank for rank in ranks)
