"""A batch of prompts over the few slots that a server has."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.contenders import Setting
from benchmarks.contenders.langchain import openai_options
from benchmarks.measuring import Tell, WrongAnswer, event_loop, interleaved
from benchmarks.process import ScriptedServer
from benchmarks.script import pieces
from benchmarks.section import Section
from benchmarks.size import Size

_PERIOD, _CHUNKS = 0.002, 20


def batch(size: Size, tell: Tell) -> Section:
    """Wall time beside what the slots alone take, and CPU time per prompt."""
    ideal = size.prompts / size.slots * (_CHUNKS + 2) * _PERIOD
    cpu: dict[str, list[float]] = {}
    with ScriptedServer() as server, ExitStack() as stack:
        loop = stack.enter_context(event_loop())
        url = server.url(f"tick-{int(_PERIOD * 1e6)}-{size.slots}", _CHUNKS)
        setting = Setting(url, "tick", _CHUNKS, loop)
        runs = {
            name: _timed(run, size.prompts, cpu.setdefault(name, []))
            for name, run in _contenders(setting, stack, tell).items()
        }
        walls = interleaved(runs, max(1, size.rounds // 2), lambda line: tell(f"batch: {line}"))
    rows = [
        {
            "name": name,
            "wall": median(times),
            "ideal": median(times) / ideal,
            "cpu": 1000 * median(cpu[name][1:]) / size.prompts,
        }
        for name, times in walls.items()
    ]
    title = (
        f"A batch of {size.prompts} prompts over {size.slots} slots "
        f"({_CHUNKS} pieces each, one every {1000 * _PERIOD:g} ms: at least {ideal:.2f} s)"
    )
    columns = {"wall": "s", "ideal": "x the least", "cpu": "CPU ms/prompt"}
    return Section("batch", title, columns, rows, "ideal")


def _timed(run: Callable[[list[str]], list[Any]], prompts: int, cpu: list[float]) -> Any:
    asked, wanted = [f"Prompt {n}" for n in range(prompts)], "".join(pieces(_CHUNKS))

    def once() -> float:
        wall, begun = time.perf_counter(), time.process_time()
        answers = run(asked)
        cpu.append(time.process_time() - begun)
        if [answer.content for answer in answers] != [wanted] * prompts:
            raise WrongAnswer("a batch lost text")
        return time.perf_counter() - wall

    return once


def _contenders(setting: Setting, stack: ExitStack, tell: Tell) -> dict[str, Any]:
    from langchain_rocm import ChatRocm

    ours = ChatRocm(base_url=setting.url)
    stack.callback(ours.close)
    chats: dict[str, Any] = {"ChatRocm": ours}
    try:
        package: Any = importlib.import_module("langchain_openai")
        options = openai_options(setting, stack)
        chats["ChatOpenAI"] = package.ChatOpenAI(streaming=True, **options)
    except ModuleNotFoundError as error:
        tell(f"left out: ChatOpenAI ({error.name} is not installed)")
    await_ = setting.loop.run_until_complete
    runs: dict[str, Any] = {f"{name}.batch": chat.batch for name, chat in chats.items()}
    for name, chat in chats.items():
        runs[f"{name}.abatch"] = lambda asked, chat=chat: await_(chat.abatch(asked))
    return runs
