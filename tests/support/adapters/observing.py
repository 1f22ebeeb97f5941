"""Watching LlamaIndex's instrumentation."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher


class Collector(BaseEventHandler):
    """Keeps every event, as tracing back ends do."""

    events: list[Any] = []  # noqa: RUF012 (pydantic copies it per instance)

    @classmethod
    def class_name(cls) -> str:
        return "Collector"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.events.append(event)

    def counts(self) -> dict[str, int]:
        return dict(Counter(type(event).__name__ for event in self.events))


@contextlib.contextmanager
def observed_events() -> Iterator[Collector]:
    """Every event while it is open."""
    root, collector = get_dispatcher(), Collector()
    root.add_event_handler(collector)
    try:
        yield collector
    finally:
        root.event_handlers.remove(collector)
