"""What a contender is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

Take = Callable[[str], None]
"""Called with each piece of text; empty pieces do not count."""

HTTPX = "httpx lines + json"


@dataclass(frozen=True)
class Setting:
    """What the contenders read: ``url`` serves an answer of ``chunks`` pieces in ``mode``.

    ``loop`` runs the asynchronous ones; ``history`` is how many messages a request has.
    """

    url: str
    mode: str
    chunks: int
    loop: asyncio.AbstractEventLoop
    history: int = 1

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Role and text of each message: the user's turn comes first and last."""
        last = self.history - 1
        roles = ("user" if (last - n) % 2 == 0 else "assistant" for n in range(self.history))
        return [(role, f"Message {n} of a talk. Hello") for n, role in enumerate(roles)]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation as llama-server takes it."""
        return [{"role": role, "content": text} for role, text in self.turns]


@dataclass(frozen=True)
class Contender:
    """One way to get the answer.

    Attributes:
        run: gets it and hands on its pieces.
        floor: names the least that its framework costs.
        arun: the same inside a running event loop, if it is asynchronous.
    """

    name: str
    run: Callable[[Take], None]
    floor: str | None = None
    arun: Callable[[Take], Coroutine[Any, Any, None]] | None = None


def asynchronous(
    setting: Setting,
    name: str,
    arun: Callable[[Take], Coroutine[Any, Any, None]],
    floor: str | None = None,
) -> Contender:
    """An asynchronous contender; ``run`` runs it to its end in the loop of ``setting``."""
    run = setting.loop.run_until_complete
    return Contender(name, lambda take: run(arun(take)), floor, arun)
