"""One choice among three, by one constrained token and by structured output, on a real server.

Both through LangChain, as an agent's router would ask: ``RocmDecisions`` beside
``ChatRocm.with_structured_output``, on one server of the bundled model. Both are told the same
question, options and state, in this order, and each time another state.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel

from benchmarks.engines import MODEL
from benchmarks.measuring import Tell, interleaved
from benchmarks.section import Row, Section
from benchmarks.size import Size
from rocm_core.config import Engine
from rocm_core.errors import EngineNotFound
from rocm_core.server import find_engine

TOKEN, STRUCTURED = "one token, {}", "structured output, {}"
ENGINES: tuple[Engine, ...] = ("binary", "embedded")
_ASK = "Which team should handle this request?"
_TEAMS = {
    "billing": "Payments, invoices and subscriptions.",
    "technical": "Bugs and failures of an integration.",
    "sales": "Prices and purchases.",
}


_OPTIONS = "\n".join(f"{team}: {what}" for team, what in _TEAMS.items())


class Route(BaseModel):
    """A choice as structured output has it."""

    team: Literal["billing", "technical", "sales"]


def decide(size: Size, tell: Tell) -> Section:
    """Wall time and tokens of a choice, both ways, on each engine."""
    rows: list[Row] = []
    for engine in ENGINES:
        try:
            find_engine(engine)
        except EngineNotFound as error:
            tell(f"left out: {error}")
            continue
        with _asking(engine) as (ways, usage):
            walls = interleaved(ways, size.decisions, lambda line: tell(f"decide: {line}"))
        whole = walls[STRUCTURED.format(engine)]
        for name, times in walls.items():
            read, written = usage[name]
            rows.append(
                {
                    "name": name,
                    "ms": 1000 * median(times),
                    "share": median(one / other for one, other in zip(times, whole, strict=True)),
                    "prompt": read,
                    "written": written,
                }
            )
    title = f"A choice among {len(_TEAMS)} on {MODEL}: medians of {size.decisions} rounds"
    columns = {
        "ms": "ms",
        "share": "x structured output",
        "prompt": "prompt tokens",
        "written": "generated tokens",
    }
    return Section("decide", title, columns, rows, "ms")


Ways = dict[str, Callable[[], float]]


@contextmanager
def _asking(engine: Engine) -> Iterator[tuple[Ways, dict[str, tuple[int, int]]]]:
    from langchain_core.decisions import Choice

    from langchain_rocm import ChatRocm, RocmDecisions

    numbers, usage = itertools.count(1), dict[str, tuple[int, int]]()
    decisions = RocmDecisions(model=MODEL, engine=engine)
    chat = ChatRocm(model=MODEL, engine=engine, temperature=0)
    structured = chat.with_structured_output(Route, include_raw=True)
    questions = {"team": Choice(instructions=_ASK, criteria=dict(_TEAMS))}

    def by_token(state: str) -> tuple[str, Any]:
        response = decisions.invoke({"state": state, "questions": questions})
        return response.choices["team"].choice, response.usage

    def by_structure(state: str) -> tuple[str, Any]:
        answer: Any = structured.invoke(f"Question: {_ASK}\n{_OPTIONS}\n\nState:\n{state}")
        return answer["parsed"].team, answer["raw"].usage_metadata

    def timed(name: str, ask: Callable[[str], tuple[str, Any]]) -> Callable[[], float]:
        def once() -> float:
            state = f"Request {next(numbers)}: I was charged twice and nobody has replied."
            begun = time.perf_counter()
            team, told = ask(state)
            wall = time.perf_counter() - begun
            assert team in _TEAMS
            usage[name] = told["input_tokens"], told["output_tokens"]
            return wall

        return once

    try:
        named = {TOKEN.format(engine): by_token, STRUCTURED.format(engine): by_structure}
        yield {name: timed(name, ask) for name, ask in named.items()}, usage
    finally:
        chat.close()
        decisions.close()
