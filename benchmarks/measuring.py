"""CPU time per streamed chunk.

Rounds are interleaved: each runs every contender once, in turn forward and backward, so that a
clock that moves or a busy neighbor strikes all alike. The first round warms up and is dropped.
CPU time is this process's, all its threads; the server is another process and does not count.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass

from benchmarks.contenders import Contender, Setting, build
from benchmarks.process import ScriptedServer
from benchmarks.script import pieces

Tell = Callable[[str], None]


class WrongAnswer(Exception):
    """A contender did not deliver the text."""


@dataclass(frozen=True)
class Result:
    """What one contender cost in one mode: CPU µs per chunk, one number per round."""

    mode: str
    name: str
    floor: str | None
    rounds: list[float]


def measure(mode: str, rounds: int, chunks: int, tell: Tell) -> list[Result]:
    """All contenders in one mode.

    Args:
        mode: ``burst`` or ``paced``.
        rounds: how many count; one more is run before.
        chunks: pieces per answer.
        tell: called with a line for whatever the reader should know.

    Raises:
        WrongAnswer: a contender did not deliver the text.
    """
    with ScriptedServer() as server, ExitStack() as stack:
        loop = stack.enter_context(closing(asyncio.new_event_loop()))
        stack.callback(lambda: loop.run_until_complete(_wind_up(loop)))
        setting = Setting(server.url(mode, chunks), mode, chunks, loop)
        contenders, absent = build(setting, stack)
        for line in absent:
            tell(line)
        gc.collect()
        gc.freeze()  # collections look at what a run makes, not at all that was imported
        stack.callback(gc.unfreeze)
        results = [Result(mode, each.name, each.floor, []) for each in contenders]
        pairs = list(zip(contenders, results, strict=True))
        for number in range(rounds + 1):
            tell(f"{mode}: round {number} of {rounds}" + (" (warm-up)" if number == 0 else ""))
            for contender, result in pairs if number % 2 else reversed(pairs):
                cost = cost_of(contender, server.taken, chunks)
                if number:
                    result.rounds.append(cost)
        return results


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Let what the contenders' streams left behind come to its end."""
    gc.collect()
    await asyncio.sleep(0)
    await loop.shutdown_asyncgens()


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
