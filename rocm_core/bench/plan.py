"""Plan a benchmark: what to measure, and with which prompts. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rocm_core.errors import ConfigError

_USUAL_DEPTHS = (0, 2048, 8192, 32768)
# In many vocabularies, smaller ids are special tokens.
_FIRST_ID = 100


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What to measure.

    Attributes:
        prompt: tokens of a prompt whose prefill is timed (``pp512``).
        generate: tokens that are decoded and timed (``tg128``).
        depths: tokens that are in the context already (``@ d4096``); empty: those of 0, 2048,
            8192 and 32768 that fit.
        streams: most requests at once; ``None``: as many as the server has slots.
        repetitions: runs of each measure, after a first one that is dropped.

    Raises:
        ConfigError: a number is too small.
    """

    prompt: int = 512
    generate: int = 128
    depths: tuple[int, ...] = ()
    streams: int | None = None
    repetitions: int = 5

    def __post_init__(self) -> None:
        numbers = (self.prompt, self.generate, self.repetitions, self.streams or 1)
        if min(numbers) < 1 or min(self.depths, default=0) < 0:
            raise ConfigError("tokens, streams and repetitions must be at least 1")

    @property
    def longest(self) -> int:
        """Tokens that a measure needs beyond its depth; one more is decoded than is timed."""
        return max(self.prompt + 1, self.generate + 2)


def depths_that_fit(plan: BenchPlan, context: int) -> tuple[int, ...]:
    """Return the depths to measure.

    Args:
        plan: what to measure.
        context: tokens of one slot; 0 if unknown.

    Raises:
        ConfigError: a depth of ``plan`` does not fit.
    """
    if not context:
        return plan.depths or (0,)
    room = context - plan.longest
    if room < max(plan.depths, default=0):
        raise ConfigError(
            f"{max(plan.depths, default=0) + plan.longest} tokens do not fit the context of "
            f"{context}: load the model with a longer one (--context-len), or measure less "
            "(--prompt, --generate, --depth)"
        )
    return plan.depths or tuple(depth for depth in _USUAL_DEPTHS if depth <= room)


def stream_counts(most: int) -> tuple[int, ...]:
    """Return the numbers of streams to measure: 1, 2, 4, … and ``most`` itself."""
    powers = [1 << n for n in range(most.bit_length()) if 1 << n < most]
    return (*powers, most)


class Prompts:
    """Makes prompts of random token ids, so that the server has none of them in its cache.

    llama-bench does the same: speed does not depend on the words.
    """

    def __init__(self, vocabulary: int) -> None:
        """``vocabulary``: number of tokens that the model knows."""
        # Not seeded: a server would have the prompts of an earlier run in its cache.
        self._random = random.Random()
        self._ids = range(min(_FIRST_ID, vocabulary // 2), vocabulary)

    def take(self, length: int) -> Sequence[int]:
        """Return a new prompt of ``length`` token ids."""
        return self._random.choices(self._ids, k=length)
