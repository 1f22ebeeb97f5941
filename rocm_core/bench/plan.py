"""What to measure, and the prompts for it. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rocm_core.errors import ConfigError

_USUAL_DEPTHS = (0, 2048, 8192, 32768)
# Ids below are special in many vocabularies.
_FIRST_ID = 100


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What to measure.

    Attributes:
        prompt: tokens of a prompt whose prefill is timed (``pp512``).
        generate: tokens that are decoded and timed (``tg128``).
        depths: tokens that are in the context already (``@ d4096``); empty: the usual ones that
            fit.
        streams: most requests at once; ``None``: as many as the server has slots.
        repetitions: runs of each measure, after one that does not count.
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
        """Tokens beside those of the depth; one more is decoded than is timed."""
        return max(self.prompt + 1, self.generate + 2)


def depths_that_fit(plan: BenchPlan, context: int) -> tuple[int, ...]:
    """The depths to measure in a context of so many tokens; 0: unknown.

    Raises:
        ConfigError: a depth that was asked for does not fit.
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
    """1, 2, 4, … and ``most`` itself."""
    powers = [1 << n for n in range(most.bit_length()) if 1 << n < most]
    return (*powers, most)


class Prompts:
    """Token ids that no prompt before had, so that nothing of them is cached.

    As llama-bench does, they are random: speed does not depend on the words.
    """

    def __init__(self, vocabulary: int) -> None:
        """``vocabulary``: how many tokens the model knows."""
        # Not seeded: a server that ran a bench before would know the prompts of the next.
        self._random = random.Random()
        self._ids = range(min(_FIRST_ID, vocabulary // 2), vocabulary)

    def take(self, length: int) -> Sequence[int]:
        """A new prompt."""
        return self._random.choices(self._ids, k=length)
