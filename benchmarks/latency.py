"""Wall time: to the first token; and of tokens that come at a steady pace to many streams."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median

from benchmarks.contenders import Contender, Setting, build
from benchmarks.contenders.base import Take
from benchmarks.measuring import Tell, WrongAnswer, contest, event_loop, interleaved
from benchmarks.process import ScriptedServer
from benchmarks.section import Row, Section
from benchmarks.size import Size

# ---------------------------------------------------------------------------
# Time to the first token
# ---------------------------------------------------------------------------


def ttft(size: Size, tell: Tell) -> Section:
    """What everybody adds to the time that a bare connection has its first piece after."""
    with ScriptedServer() as server, contest(server, "burst", 1, tell) as everybody:
        contenders = [each for each in everybody if "in memory" not in each.name]
        firsts = {each.name: _First(each) for each in contenders}
        walls = interleaved({n: f.ask for n, f in firsts.items()}, size.requests, lambda line: None)
    rows = []
    for each in contenders:
        raw = walls["raw asyncio + json" if each.arun else "raw socket + json"]
        wall = walls[each.name]
        rows.append(
            {
                "name": each.name,
                "ms": median(wall),
                "added": median(mine - its for mine, its in zip(wall, raw, strict=True)),
                "cpu": median(firsts[each.name].cpu[1:]),
            }
        )
    title = "Time to the first token: ms until it is there, and CPU ms spent until then"
    columns = {"ms": "ms", "added": "over the raw connection", "cpu": "CPU ms"}
    return Section("ttft", title, columns, rows, "added")


class _First:
    """One contender's first tokens."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self.cpu: list[float] = []

    def ask(self) -> float:
        """One request; ms to its first piece."""
        seen: list[tuple[float, float]] = []

        def take(text: str) -> None:
            if text:
                seen.append((time.perf_counter(), time.process_time()))

        wall, cpu = time.perf_counter(), time.process_time()
        self._contender.run(take)
        if len(seen) != 1:
            raise WrongAnswer(f"{self._contender.name} delivered {len(seen)} pieces")
        self.cpu.append(1000 * (seen[0][1] - cpu))
        return 1000 * (seen[0][0] - wall)


# ---------------------------------------------------------------------------
# Streams per core
# ---------------------------------------------------------------------------

_PERIOD = 0.020  # 50 tokens a second
_JITTER = 0.020
_STEP = 1.3
_FEW, _RUNGS = 8, 7
_PACED = (
    "raw",
    "rocm_core",
    "LangChain's floor",
    "ChatRocm",
    "ChatOpenAI",
    "ChatOllama",
    "RocmLLM",
    "OpenAILike",
)
_SETTLING = 0.1  # of the time in which all streams ran


@dataclass(frozen=True)
class Rung:
    """So many streams at once in one event loop.

    Attributes:
        jitter: 99th percentile of how much longer than 20 ms a gap between two tokens was, in
            seconds. Tokens that come at once after a late one are that one's lateness again.
        share: CPU time by wall time of this process.
        error: why there are no tokens.
    """

    streams: int
    jitter: float
    share: float
    error: str = ""

    @property
    def kept_up(self) -> bool:
        """Whether the tokens came through in time."""
        return self.jitter <= _JITTER


def streams(size: Size, tell: Tell) -> Section:
    """How many streams at 50 tokens a second one event loop, so one core, carries."""
    rows: list[Row] = []
    chunks = max(5, int(size.seconds / _PERIOD))
    with ScriptedServer() as server, ExitStack() as stack:
        loop = stack.enter_context(event_loop())
        setting = Setting(server.url(f"tick-{int(_PERIOD * 1e6)}-0", chunks), "tick", chunks, loop)
        contenders, absent = build(setting, stack, _PACED)
        for line in absent:
            tell(line)
        for each in contenders:
            if each.arun is None or "TextModel" in each.name:
                continue
            tell(f"streams: {each.name}")
            rung = partial(_rung, loop, each.arun, chunks)
            best, last = climb(rung, size.streams, tell)
            rows.append(
                {
                    "name": each.name,
                    "streams": best.streams,
                    "jitter": 1000 * best.jitter,
                    "share": best.share,
                    "cpu": 1e6 * last.share * _PERIOD / last.streams,
                    "capacity": last.streams / last.share,
                }
            )
    title = "Streams per core at 50 tok/s: the most whose 99th percentile of jitter is <= 20 ms"
    columns = {
        "streams": "streams",
        "jitter": "p99 jitter, ms",
        "share": "of a core",
        "cpu": "CPU µs/chunk",
        "capacity": "streams by CPU time",
    }
    return Section("streams", title, columns, rows, "streams")


def climb(rung: Callable[[int], Rung], most: int, tell: Tell) -> tuple[Rung, Rung]:
    """The highest rung that kept up, and the last one that was tried.

    The first guess is half of what the CPU time of a few streams promises; ``most`` is the last.
    """
    last = rung(min(_FEW, most))
    best = last if last.kept_up else Rung(0, last.jitter, last.share)
    count = min(most, max(_FEW, int(0.5 * last.streams / max(last.share, 1e-3))))
    for _ in range(_RUNGS):
        last = rung(count)
        tell(f"{count} streams: p99 {1000 * last.jitter:.1f} ms, {last.share:.2f} of a core")
        if last.kept_up:
            best = last
        elif best.streams > _FEW:
            break
        if count == (most if last.kept_up else _FEW):
            break
        # A first guess that was too high: come down until a rung holds.
        count = int(count * _STEP) if last.kept_up else int(count / _STEP**2)
        count = max(min(_FEW, most), min(most, count))
    return best, last


def _rung(
    loop: asyncio.AbstractEventLoop, arun: Callable[[Take], object], chunks: int, count: int
) -> Rung:
    arrivals: list[list[float]] = [[] for _ in range(count)]

    async def one(number: int) -> None:
        await asyncio.sleep(_PERIOD * number / count)
        mine = arrivals[number]

        def take(text: str) -> None:
            if text:
                mine.append(time.perf_counter())

        await arun(take)  # type: ignore[misc]

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(count)))

    # What the libraries of all contenders keep would be searched for garbage again and again: a
    # pause of a tenth of a second, on account of whoever happens to be running.
    gc.collect()
    gc.freeze()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        loop.run_until_complete(all_of_them())
    except Exception as error:  # whoever cannot even connect in time did not keep up
        return Rung(count, math.inf, 1.0, str(error))
    finally:
        gc.unfreeze()
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    if any(len(each) != chunks for each in arrivals):
        raise WrongAnswer("a stream lost pieces")
    return Rung(count, lateness(arrivals), share)


def lateness(arrivals: list[list[float]]) -> float:
    """The 99th percentile of it, in seconds, over the time in which all streams ran.

    Infinite if they never did, but took turns.
    """
    begin, end = max(each[0] for each in arrivals), min(each[-1] for each in arrivals)
    begin += _SETTLING * (end - begin)
    gaps = [b - a for each in arrivals for a, b in pairwise(each) if begin <= a and b <= end]
    late = sorted(gap - _PERIOD for gap in gaps)
    return late[int(0.99 * len(late))] if late else math.inf
