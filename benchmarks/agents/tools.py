"""The tools of the task, and whether an agent called them as it was told."""

from __future__ import annotations

import json

from benchmarks.agents.script import CALLS
from benchmarks.measuring import WrongAnswer

QUESTION = "What will the weather be in Oslo, and what time is it there?"
_called: list[tuple[str, dict[str, object]]] = []


def get_weather(city: str, days: int) -> str:
    """Return the weather of the next days in a city."""
    _called.append(("get_weather", {"city": city, "days": days}))
    return "sunny"


def get_time(zone: str) -> str:
    """Return the time in a zone."""
    _called.append(("get_time", {"zone": zone}))
    return "12:00"


def check(name: str, runs: int) -> None:
    """Forget the calls since the last check.

    Raises:
        WrongAnswer: they were not those of so many runs.
    """
    wanted = [(tool, json.loads(arguments)) for tool, arguments in CALLS] * runs
    called = [*_called]
    _called.clear()
    if called != wanted:
        raise WrongAnswer(f"{name} called {called}")
