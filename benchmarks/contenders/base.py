"""What a contender is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

Take = Callable[[str], None]
"""Called with each piece of text; empty pieces do not count."""

MESSAGES = [{"role": "user", "content": "Hello"}]
HTTPX = "httpx lines + json"


@dataclass(frozen=True)
class Setting:
    """What the contenders read: ``url`` serves an answer of ``chunks`` pieces in ``mode``.

    ``loop`` runs the asynchronous ones.
    """

    url: str
    mode: str
    chunks: int
    loop: asyncio.AbstractEventLoop

    def blocking(self, run: Callable[[Take], Coroutine[Any, Any, None]]) -> Callable[[Take], None]:
        """An asynchronous contender, run to its end in the loop."""
        return lambda take: self.loop.run_until_complete(run(take))


@dataclass(frozen=True)
class Contender:
    """One way to get the answer. ``floor`` names the least that its framework costs."""

    name: str
    run: Callable[[Take], None]
    floor: str | None = None
