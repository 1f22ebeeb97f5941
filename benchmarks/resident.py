"""What a real server keeps in memory after many prompts that have nothing in common.

llama-server keeps the states of prompts that left their slots in a cache in host memory
(``--cache-ram``). Linux only (``/proc``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engines import MODEL, running_server
from benchmarks.measuring import Tell
from benchmarks.section import Section
from benchmarks.size import Size
from rocm_core import GenerateConfig, LoadConfig, Server
from rocm_core.config import Engine
from rocm_core.errors import EngineNotFound
from rocm_core.server import find_engine

_ENGINES: tuple[Engine, ...] = ("binary", "embedded")
# About 1,800 tokens of the demo model, whose context is 4,096.
_WORDS = 760
_VOCABULARY = (
    *("river", "stone", "lamp", "cold", "train", "morning", "paper", "garden"),
    *("seven", "window", "quiet", "letter", "harbor", "copper", "winter", "bridge"),
)


def resident(size: Size, tell: Tell) -> Section:
    """MiB that are resident after so many distinct prompts, on each engine."""
    rows = []
    for engine in _ENGINES:
        try:
            find_engine(engine)
        except EngineNotFound as error:
            tell(f"left out: {error}")
            continue
        row: dict[str, object] = {"name": f"{MODEL}, {engine}"}
        with running_server(LoadConfig(engine=engine)) as server:
            for number, mib in after_prompts(server, size.distinct):
                tell(f"resident: {engine}, {number} prompts, {mib:.0f} MiB")
                row[f"after_{number}"] = mib
        rows.append(row)
    columns = {f"after_{number}": f"MiB after {number}" for number in size.distinct}
    title = f"Resident memory of the server after distinct prompts of {_WORDS} words"
    return Section("resident", title, columns, rows, f"after_{size.distinct[-1]}")


def after_prompts(server: Server, marks: tuple[int, ...]) -> Iterator[tuple[int, float]]:
    """Send distinct prompts one after another; yield their number and the MiB resident then.

    Args:
        server: a server that runs on this machine.
        marks: after how many prompts to look, ascending.
    """
    source = random.Random(1)
    config = GenerateConfig(max_tokens=4)
    for number in range(1, marks[-1] + 1):
        words = " ".join(source.choice(_VOCABULARY) for _ in range(_WORDS))
        for _ in server.client.chat([{"role": "user", "content": f"{number}: {words}"}], config):
            pass
        if number in marks:
            yield number, _resident_mib(server.pid)


def _resident_mib(pid: int | None) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise KeyError("VmRSS")
