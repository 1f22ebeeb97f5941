"""How everything is measured: interleaved rounds, the first of them dropped.

Each round runs every contender once, in turn forward and backward, so that a clock that moves
or a busy neighbor strikes all alike. Ratios are taken within a round, then their median.
CPU time is this process's, all its threads; the server is another process and does not count.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from statistics import median

from benchmarks.contenders import GROUPS, Contender, Setting, build
from benchmarks.process import ScriptedServer
from benchmarks.script import pieces

Tell = Callable[[str], None]


class WrongAnswer(Exception):
    """A contender did not deliver the text."""


@contextmanager
def contest(
    server: ScriptedServer,
    mode: str,
    chunks: int,
    tell: Tell,
    *,
    groups: Iterable[str] = tuple(GROUPS),
    history: int = 1,
) -> Iterator[list[Contender]]:
    """The contenders that can compete, with what they hold open.

    Args:
        server: whom they ask.
        mode: how it answers (``benchmarks.server``).
        chunks: pieces per answer.
        tell: called with a line for whatever the reader should know.
        groups: keys of ``benchmarks.contenders.GROUPS``.
        history: messages of a request.
    """
    with ExitStack() as stack:
        loop = stack.enter_context(event_loop())
        setting = Setting(server.url(mode, chunks), mode, chunks, loop, history)
        contenders, absent = build(setting, stack, groups)
        for line in absent:
            tell(line)
        with frozen():
            yield contenders


@contextmanager
def frozen() -> Iterator[None]:
    """Inside, collections look at what a run makes, not at all that was imported."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for asynchronous contenders; what they leave behind ends with it."""
    with closing(asyncio.new_event_loop()) as loop:
        try:
            yield loop
        finally:
            loop.run_until_complete(_wind_up(loop))


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Let what the contenders' streams left behind come to its end."""
    gc.collect()
    await asyncio.sleep(0)
    await loop.shutdown_asyncgens()


def interleaved(
    runs: Mapping[str, Callable[[], float]], rounds: int, tell: Tell
) -> dict[str, list[float]]:
    """What each run returned in each round.

    Args:
        runs: by name.
        rounds: how many count; one more is run before.
        tell: called with a line before each round.
    """
    figures: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}" + (" (warm-up)" if number == 0 else ""))
        for name in order if number % 2 else reversed(order):
            figure = runs[name]()
            if number:
                figures[name].append(figure)
    return figures


def ratio(mine: Sequence[float], base: Sequence[float]) -> float:
    """How often ``base`` fits in: the median over the rounds, each compared with itself."""
    return median(one / other for one, other in zip(mine, base, strict=True))


def cost_of(contender: Contender, taken: memoryview, chunks: int) -> float:
    """CPU µs per chunk of one run.

    Raises:
        WrongAnswer: it did not deliver the text.
    """
    texts: list[str] = []

    def take(text: str) -> None:
        if text:
            texts.append(text)
            taken[0] += 1

    taken[0] = 0
    gc.collect()
    before = time.process_time()
    contender.run(take)
    cost = time.process_time() - before
    if texts != pieces(chunks):
        raise WrongAnswer(f"{contender.name} delivered {len(texts)} pieces: {''.join(texts)!r:.80}")
    return cost / chunks * 1e6
