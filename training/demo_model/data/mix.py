"""How much of each skill, and the prompts of the evaluation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from training.demo_model.data import (
    context,
    conversation,
    facts,
    react,
    small_talk,
    structured,
    thinking,
    tools,
)
from training.demo_model.data.pools import Pools
from training.demo_model.data.sample import Sample

Draw = Callable[[Pools], Sample]

MIX: tuple[tuple[float, Draw], ...] = (
    (18, facts.draw),
    (6, small_talk.talk),
    (6, small_talk.too_hard),
    (4, small_talk.memory),
    (4, small_talk.obey),
    (6, small_talk.repeat),
    (14, context.draw),
    (22, tools.one_call),
    (3, tools.after_result),
    (7, tools.parallel),
    (5, tools.chain),
    (1, tools.hand_over),
    (9, tools.no_fit),
    (4, tools.forced),
    (8, structured.asked),
    (5, structured.forced),
    (4, thinking.draw),
    (3, react.draw),
    (4, facts.itself),
    (2, structured.invented),
    (12, conversation.draw),
    (4, tools.explained),
    (8, context.draw_same),
)
"""Weights and generators. The order matters for the random draws, so append only."""

SECOND: tuple[tuple[float, Draw], ...] = (*MIX, (8, tools.explained), (20, tools.compound))
"""The same in the second, short course, with more values in other scripts."""

EVALUATED: tuple[tuple[Draw, int], ...] = (
    (facts.draw, 1),
    (facts.new_wording, 1),
    (small_talk.talk, 1),
    (small_talk.new_wording, 1),
    (small_talk.too_hard, 1),
    (small_talk.memory, 1),
    (small_talk.obey, 1),
    (context.draw, 1),
    (lambda p: tools.one_call(p, 0), 6),
    (tools.new_wording, 1),
    (lambda p: tools.one_call(p, 1), 2),
    (lambda p: tools.one_call(p, p.rng.choice((2, 3, 4))), 2),
    (tools.after_result, 1),
    (tools.parallel, 1),
    (tools.chain, 1),
    (tools.no_fit, 1),
    (structured.asked, 2),
    (structured.forced, 1),
    (structured.invented, 1),
    (thinking.draw, 1),
    (react.draw, 1),
    (conversation.draw, 1),
    (context.draw_same, 1),
)
"""Generators of held-out prompts, and how many times as many prompts each makes."""


def training(seed: int, course: Sequence[tuple[float, Draw]] = MIX) -> Iterator[Sample]:
    """Training conversations without end."""
    pools = Pools(random.Random(seed))
    weights, draws = zip(*course, strict=True)
    while True:
        yield pools.rng.choices(draws, weights)[0](pools)


def held_out(count: int, seed: int = 987) -> list[Sample]:
    """``count`` prompts for each skill.

    Names, values and other words of lists are never drawn in training. Wordings are, except in
    the skills that say "words never seen".
    """
    pools = Pools(random.Random(seed), evaluation=True)
    by_skill: dict[str, list[Sample]] = {}
    for draw, times in EVALUATED:
        for _ in range(3 * count * times):
            sample = draw(pools)
            mine = by_skill.setdefault(sample.skill, [])
            if len(mine) < count:
                mine.append(sample)
    return [sample for samples in by_skill.values() for sample in samples]
