"""Questions that take a short thought: who has more, who is first, what is left."""

from __future__ import annotations

from models.data.pools import NAMES, NOUNS, Pools
from models.data.sample import Sample, says, user


def draw(pools: Pools) -> Sample:
    """A comparison; with the switch on, the thought comes before the answer."""
    one, two = pools.pick(NAMES), pools.pick(NAMES)
    while two == one:
        two = pools.pick(NAMES)
    a, b = pools.rng.sample(range(1, 10), 2)
    things = pools.pick(NOUNS) + "s"
    if pools.chance(0.5):
        text = f"{one} has {a} {things} and {two} has {b} {things}."
        more = pools.chance(0.5)
        text += f" Who has {'more' if more else 'fewer'} {things}?"
        winner = one if (a > b) == more else two
        thought = f"{a} is {'more' if a > b else 'less'} than {b}."
        answer = f"{winner} has {'more' if more else 'fewer'} {things}."
    else:
        word, other = pools.rng.choice((("taller", "shorter"), ("older", "younger"),
                                        ("faster", "slower"), ("stronger", "weaker")))  # fmt: skip
        same = pools.chance(0.5)
        text = f"{one} is {word} than {two}. Who is {word if same else other}?"
        winner = one if same else two
        thought = f"{one} is {word}, so {two} is {other}."
        answer = f"{winner} is {word if same else other}."
    thinking = pools.chance(0.7)
    messages = [user(text), says(answer, thought if thinking else "")]
    return Sample("thinking", messages, thinking=thinking)
