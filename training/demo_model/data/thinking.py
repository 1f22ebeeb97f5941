"""Questions that take a short thought: who has more, who is first, what is left."""

from __future__ import annotations

from training.demo_model.data.pools import NAMES, NOUNS, Pools
from training.demo_model.data.sample import Message, Sample, says, user

_PAIRS = (("taller", "shorter"), ("older", "younger"), ("faster", "slower"), ("stronger", "weaker"))


def _comparison(pools: Pools) -> tuple[str, str, str]:
    """A question, a thought and an answer."""
    one, two = pools.pick(NAMES), pools.pick(NAMES)
    while two == one:
        two = pools.pick(NAMES)
    same = pools.chance(0.5)
    if pools.chance(0.5):
        word, other = pools.rng.choice(_PAIRS)
        winner, asked = (one, word) if same else (two, other)
        text = f"{one} is {word} than {two}. Who is {asked}?"
        thought = f"{word} is {one}, {other} is {two}. So {asked} is {winner}."
        return text, thought, f"{winner} is {asked}."
    a, b = pools.rng.sample(range(1, 10), 2)
    things = pools.pick(NOUNS) + "s"
    asked = "more" if same else "fewer"
    number, winner = (a, one) if (a > b) == same else (b, two)
    text = f"{one} has {a} {things} and {two} has {b} {things}. Who has {asked} {things}?"
    thought = f"{a} is {one}, {b} is {two}. So {asked}: {number} is {winner}."
    return text, thought, f"{winner} has {asked} {things}."


def draw(pools: Pools) -> Sample:
    """Comparisons; with the switch on, the thought comes before the answer."""
    thinking = pools.chance(0.8)
    messages: list[Message] = []
    for _ in range(pools.rng.choice((1, 2, 3)) if thinking and not pools.evaluation else 1):
        text, thought, answer = _comparison(pools)
        messages += [user(text), says(answer, thought if thinking else "")]
    return Sample("thinking", messages, thinking=thinking)
