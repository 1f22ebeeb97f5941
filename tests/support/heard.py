"""What a server tells those who subscribe."""

from __future__ import annotations

import queue
from collections.abc import Callable

from rocm_core.server import ServerEvent
from tests.support.programs import PATIENCE


class Heard:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[ServerEvent] = queue.SimpleQueue()

    def __call__(self, event: ServerEvent) -> None:
        self.events.put(event)

    def until(self, wanted: Callable[[ServerEvent], bool]) -> list[ServerEvent]:
        """The events up to the first that is wanted."""
        heard: list[ServerEvent] = []
        while not (heard and wanted(heard[-1])):
            heard.append(self.events.get(timeout=PATIENCE))
        return heard
