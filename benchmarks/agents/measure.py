"""CPU time of an agent, per token and per step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks.agents import langchain, llamaindex, tools
from benchmarks.agents.script import STEPS
from benchmarks.contenders import Contender, Setting, build
from benchmarks.measuring import Tell, cost_of, event_loop, frozen, interleaved, ratio
from benchmarks.process import ScriptedServer
from benchmarks.section import Row, Section
from benchmarks.size import Size

GROUPS = {
    "LangChain's floor": langchain.floor,
    "ChatRocm": langchain.ours,
    "ChatOpenAI": langchain.openai,
    "ChatOllama": langchain.ollama,
    "LlamaIndex's floor": llamaindex.floor,
    "RocmLLM": llamaindex.ours,
    "OpenAILike": llamaindex.openai,
}
# Pieces of the short answer, and how often it is asked for in a round.
_SHORT, _REPEAT = 10, 15


def agents(size: Size, tell: Tell) -> Section:
    """A task of two tools, with a long answer and with a short one."""
    long = max(size.chunks, 2 * _SHORT)
    with ScriptedServer() as server, ExitStack() as stack:
        loop = stack.enter_context(event_loop())
        runs: dict[str, Callable[[], float]] = {}
        floors: dict[str, str] = {}
        for chunks in (long, _SHORT):
            setting = Setting(server.url("agent", chunks), "burst", chunks, loop)
            found, absent = build(setting, stack, GROUPS, GROUPS)
            if chunks == _SHORT:
                for line in absent:
                    tell(line)
            repeat = _REPEAT if chunks == _SHORT else 1
            for each in found:
                floors[each.name] = each.floor or ""
                runs[f"{chunks}: {each.name}"] = partial(_cost, each, server, chunks, repeat)
        with frozen():
            figures = interleaved(runs, size.rounds, lambda line: tell(f"agents: {line}"))
    rows = [_row(name, floor, figures, long) for name, floor in floors.items()]
    columns = {
        "token": "µs/token",
        "token_to_floor": "x floor",
        "step": "ms/step",
        "step_to_floor": "x floor",
    }
    title = f"Agents: CPU per token of a long answer, and per step of a task of {STEPS} steps"
    return Section("agents", title, columns, rows, "token")


def _cost(contender: Contender, server: ScriptedServer, chunks: int, repeat: int) -> float:
    """CPU µs of one run."""
    costs = [cost_of(contender, server.taken, chunks) * chunks for _ in range(repeat)]
    tools.check(contender.name, repeat)
    return median(costs)


def _row(name: str, floor: str, figures: dict[str, list[float]], long: int) -> Row:
    token, step = _split(name, figures, long)
    base_token, base_step = _split(floor, figures, long)
    return {
        "name": name,
        "token": median(token),
        "token_to_floor": ratio(token, base_token),
        "step": median(step) / 1000,
        "step_to_floor": ratio(step, base_step),
        "rounds": token,
    }


def _split(
    name: str, figures: dict[str, list[float]], long: int
) -> tuple[list[float], list[float]]:
    """What a token and what a step costs, in each round: two answers, two unknowns."""
    pairs = zip(figures[f"{long}: {name}"], figures[f"{_SHORT}: {name}"], strict=True)
    tokens = [((more - less) / (long - _SHORT), less) for more, less in pairs]
    return [each for each, _ in tokens], [(less - _SHORT * each) / STEPS for each, less in tokens]
