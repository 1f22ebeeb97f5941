"""CPU time per chunk: of one answer, of a longer one, of one after a long conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.contenders import Contender
from benchmarks.contenders.base import HTTPX
from benchmarks.measuring import Tell, contest, cost_of, interleaved, ratio
from benchmarks.process import ScriptedServer
from benchmarks.section import Row, Section
from benchmarks.size import Size

MODES = {
    "burst": "many events per read",
    "paced": "one event per read, each after the one before was taken",
}
_OURS = ("rocm_core", "LangChain's floor", "ChatRocm", "LlamaIndex's floor", "RocmLLM")


@dataclass(frozen=True)
class Result:
    """What one contender cost in one mode: CPU µs per chunk, one number per round."""

    name: str
    floor: str | None
    rounds: list[float]


def burst(size: Size, tell: Tell) -> Section:
    """Everything at once: what the code costs by itself."""
    return _mode("burst", size, tell)


def paced(size: Size, tell: Tell) -> Section:
    """As it comes from a model."""
    return _mode("paced", size, tell)


def _mode(mode: str, size: Size, tell: Tell) -> Section:
    with ScriptedServer() as server, contest(server, mode, size.chunks, tell) as contenders:
        runs = {each.name: _run(each, server, size.chunks) for each in contenders}
        figures = interleaved(runs, size.rounds, lambda line: tell(f"{mode}: {line}"))
        results = [Result(c.name, c.floor, figures[c.name]) for c in contenders]
    columns = {
        "median": "µs/chunk",
        "spread": "min-max",
        "to_httpx": "x httpx",
        "to_floor": "x floor",
    }
    title = f"CPU per chunk, {mode}: {MODES[mode]}"
    return Section(mode, title, columns, list(rows(results)), "median")


def _run(contender: Contender, server: ScriptedServer, chunks: int) -> Callable[[], float]:
    return partial(cost_of, contender, server.taken, chunks)


def rows(results: Sequence[Result]) -> Iterator[Row]:
    """One row per result of one mode; a ratio is ``None`` where there is nothing to compare."""
    by_name = {result.name: result.rounds for result in results}
    for result in results:
        base = by_name.get(result.floor or "")
        low, high = min(result.rounds), max(result.rounds)
        yield {
            "name": result.name,
            "median": median(result.rounds),
            "spread": f"{low:.1f}-{high:.1f}",
            "to_httpx": ratio(result.rounds, by_name[HTTPX]),
            "to_floor": ratio(result.rounds, base) if base else None,
            "rounds": result.rounds,
        }


# ---------------------------------------------------------------------------
# Growth
# ---------------------------------------------------------------------------


def growth(size: Size, tell: Tell) -> Section:
    """A long answer must not cost more per chunk than a short one."""
    short, long = f"{size.short:,} chunks", f"{size.long:,} chunks"
    cases = {short: (size.short, 1), long: (size.long, 1)}
    found = _cases(cases, _OURS, size, lambda line: tell(f"growth: {line}"))
    title = "Growth with the length of the answer, CPU µs per chunk"
    columns = {"base": short, "more": long, "ratio": "ratio"}
    return Section("growth", title, columns, found, "ratio")


def history(size: Size, tell: Tell) -> Section:
    """What a long conversation before the answer adds to each chunk of it."""
    chunks = max(1, size.chunks // 3)
    cases = {"1 message": (chunks, 1), f"{size.history} messages": (chunks, size.history)}
    found = _cases(cases, _OURS, size, lambda line: tell(f"history: {line}"))
    title = "Growth with the length of the conversation, CPU µs per chunk"
    base, more = cases
    return Section("history", title, {"base": base, "more": more, "ratio": "ratio"}, found, "ratio")


def _cases(
    cases: dict[str, tuple[int, int]], groups: Iterable[str], size: Size, tell: Tell
) -> list[Row]:
    """Each contender in two cases of (chunks, messages), and how they compare."""
    with ScriptedServer() as server, ExitStack() as stack:
        runs: dict[str, Callable[[], float]] = {}
        names: list[str] = []
        for case, (chunks, messages) in cases.items():
            these = stack.enter_context(
                contest(
                    server,
                    "burst",
                    chunks,
                    tell,
                    groups=groups,
                    history=messages,
                )
            )
            names = [each.name for each in these]
            runs |= {f"{case}: {each.name}": _run(each, server, chunks) for each in these}
        figures = interleaved(runs, size.rounds, tell)
    base, more = cases
    return [
        {
            "name": name,
            "base": median(figures[f"{base}: {name}"]),
            "more": median(figures[f"{more}: {name}"]),
            "ratio": ratio(figures[f"{more}: {name}"], figures[f"{base}: {name}"]),
        }
        for name in names
    ]
