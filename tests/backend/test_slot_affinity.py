"""Conversations keep their slot, and with it what the server has cached of them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from rocm_core import GenerateConfig, TextModel, load_model
from rocm_core.backend.slot_affinity import SlotAffinity
from rocm_core.config import Engine

CONFIG = GenerateConfig(max_tokens=4)
SYSTEM = "You are asked about the places of a long journey. " * 6


def said(*texts: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


def slot_of(affinity: SlotAffinity, messages: list[dict[str, Any]] | None) -> int | None:
    with affinity.assign(messages) as slot:
        return slot


def test_a_conversation_comes_back_to_its_slot() -> None:
    affinity = SlotAffinity(3)
    first = [slot_of(affinity, said(name)) for name in "abc"]
    assert sorted(first, key=str) == [0, 1, 2]
    assert [slot_of(affinity, said(name, "x", "y")) for name in "cab"] == [first[2], *first[:2]]
    # a turn later still, and one that repeats the last turn in other words
    assert slot_of(affinity, said("a", "x", "y", "z", "!")) == first[0]


def test_a_new_conversation_takes_the_slot_that_was_not_used_for_longest() -> None:
    affinity = SlotAffinity(2)
    a, b = slot_of(affinity, said("a")), slot_of(affinity, said("b"))
    assert slot_of(affinity, said("a", "x", "y")) == a
    assert slot_of(affinity, said("c")) == b
    assert slot_of(affinity, said("b", "x", "y")) == a, "its slot is another's now"


def test_a_busy_slot_is_never_named() -> None:
    affinity = SlotAffinity(2)
    with ExitStack() as held:
        a = held.enter_context(affinity.assign(said("a")))
        assert held.enter_context(affinity.assign(said("a", "x", "y"))) not in (a, None)
        assert slot_of(affinity, said("b")) is None, "both are busy"
    with affinity.assign(None) as nothing:
        assert nothing is None
        assert slot_of(affinity, said("a")) is None, "nobody knows where the other one is"
    assert slot_of(affinity, said("a")) is not None


def second_turns(model: TextModel, system: str) -> list[tuple[int, int]]:
    """For each of 4 talks: tokens of its first prompt, and what its second had from the cache."""
    opening = {"role": "system", "content": system}
    conversations = [[opening, *said(f"{n} is where journey {n} begins")] for n in range(4)]

    def turn(messages: list[dict[str, Any]]) -> tuple[int, int]:
        events = list(model.chat_events(messages, CONFIG))
        usage = next(event.usage for event in reversed(events) if event.usage)
        text = "".join(event.text for event in events)
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Go on"}]
        return usage.prompt_tokens, usage.cached_tokens

    first = [turn(messages) for messages in conversations]
    second = [turn(messages) for messages in conversations]
    return [(prompt, cached) for (prompt, _), (_, cached) in zip(first, second, strict=True)]


def test_interleaved_conversations_keep_what_is_cached_of_them(engine: Engine) -> None:
    with load_model("demo", engine=engine, parallel=4, context_len=1024) as model:
        for prompt, cached in second_turns(model, SYSTEM):
            assert cached >= prompt - 2
        model.connection.affinity = None  # as llama-server itself would choose
        assert any(cached < prompt - 2 for prompt, cached in second_turns(model, f"Now, {SYSTEM}"))


def test_who_names_a_slot_gets_it(engine: Engine) -> None:
    with load_model("demo", engine=engine, parallel=2, context_len=512) as model:
        model.load()
        for slot in (1, 0, 1):
            list(model.chat_events(said("x"), GenerateConfig(max_tokens=1, id_slot=slot)))
            used = [s["id"] for s in model.connection.client.slots() if s.get("id_task", -1) >= 0]
            assert slot in used


async def test_asyncio_takes_the_same_seats(engine: Engine) -> None:
    async def turn(model: TextModel, name: str) -> int | None:
        slot = None
        async for event in model.achat_events(said(name), CONFIG):
            slot = event.raw.get("id_slot", slot)
        return slot

    with load_model("demo", engine=engine, parallel=2, context_len=512) as model:
        await model.aload()
        await asyncio.gather(*(turn(model, name) for name in "abcd"))
        affinity = model.connection.affinity
        assert affinity is not None
        assert slot_of(affinity, said("z")) is not None, "all of them were given back"


@pytest.mark.parametrize(
    "options", [{}, {"parallel": 2, "extra_args": ["-kvu"]}, {"parallel": 2, "keep_alive": 5}]
)
def test_shared_caches_and_shared_servers_are_left_to_the_server(options: dict[str, Any]) -> None:
    from rocm_core.backend.local import _slots_are_ours
    from rocm_core.config import LoadConfig

    assert not _slots_are_ours(LoadConfig(**options))
