"""Questions in a row, as people chat: llama-rocm, small talk, names, and what is too hard."""

from __future__ import annotations

from collections.abc import Callable

from training.demo_model.data import facts, small_talk
from training.demo_model.data.pools import Pools
from training.demo_model.data.sample import Message, Sample, past, says, system, user

Turn = tuple[str, str, str]
"""What is said, the answer, and the thought before it."""


def _fact(pools: Pools) -> Turn:
    known = facts.about_itself() if pools.chance(0.25) else facts.all_facts()
    fact = pools.rng.choice(known)
    return facts.ask(pools, fact), fact.answer, facts.thought(fact)


def _phrase(pools: Pools) -> Turn:
    said, answer = small_talk.phrase(pools)
    return said, answer, ""


def _too_hard(pools: Pools) -> Turn:
    return small_talk.beyond(pools), small_talk.BEYOND, small_talk.TOO_HARD


_KINDS: tuple[tuple[int, Callable[[Pools], Turn]], ...] = ((5, _fact), (3, _phrase), (4, _too_hard))


def _turns(pools: Pools) -> list[Turn]:
    weights, makers = zip(*_KINDS, strict=True)
    chosen = pools.rng.choices(makers, weights, k=pools.rng.choice((2, 3, 4, 5, 6)))
    turns = [make(pools) for make in chosen]
    if pools.chance(0.4):
        name = pools.name()
        place = pools.rng.randrange(len(turns))
        told, asked = small_talk.tell(pools, name), small_talk.ask_name(pools)
        turns.insert(place, (told, f"Nice to meet you, {name}!", ""))
        later = pools.rng.randrange(place + 1, len(turns) + 1)
        turns.insert(later, (asked, f"Your name is {name}.", ""))
    return turns


def draw(pools: Pools) -> Sample:
    """A chat; each answer is learned, and the last one is evaluated."""
    thinking = pools.chance(0.5)
    *before, last = _turns(pools)
    messages: list[Message] = []
    if pools.chance(0.2):
        messages.append(system(pools.rng.choice(facts.NEUTRAL)))
    for said, answer, thought in before:
        messages += [user(said), past(pools, answer, thought, thinking=thinking)]
    said, answer, thought = last
    messages += [user(said), says(answer, thought if thinking else "")]
    return Sample("questions in a row", messages, thinking=thinking)
