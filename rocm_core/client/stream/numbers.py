"""Answers and calls by their numbers, where a server does not count as the API says. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rocm_core.types import StreamEvent, ToolCallDelta


class OneAnswer:
    """Keeps the events of the one answer that was asked for; others were not.

    It is answer 0. If nothing comes of that, the one with the lowest number is it, and comes at the
    end: until then an answer 0 may begin.

    Attributes:
        known: a piece of answer 0 has come.
    """

    def __init__(self) -> None:
        self.known = False
        self._held: list[StreamEvent] = []

    def takes(self, event: StreamEvent) -> bool:
        """Return whether an event is of answer 0, or of the request; hold it back if not."""
        if event.choice:
            if not self.known:
                self._hold(event)
            return False
        if event.text or event.reasoning or event.tool_calls:
            self.known = True
            self._held.clear()
        return True

    def _hold(self, event: StreamEvent) -> None:
        lowest = self._held[0].choice if self._held else event.choice
        if event.choice < lowest:
            self._held.clear()
        if event.choice <= lowest:
            self._held.append(event)

    def rest(self) -> Iterator[StreamEvent]:
        """Yield what was held back, at the end of the stream, as answer 0."""
        held, self._held = self._held, []
        for event in held:
            event.choice = 0
            yield event


@dataclass(slots=True)
class _Call:
    id: str | None
    number: int
    name: str | None


class CallNumbers:
    """Gives every tool call a number of its own, and each fact of it once.

    Some servers number every call of an answer 0, or none, each with an id of its own; read by
    their numbers, the arguments of one would be those of another. Some repeat id and name in every
    part; whoever adds the parts up would get the name twice.
    """

    def __init__(self) -> None:
        # By answer and the server's number: the call that is being written.
        self._calls: dict[tuple[int, int], _Call] = {}
        self._used: set[tuple[int, int]] = set()

    def renumber(self, event: StreamEvent) -> None:
        """Change the calls in ``event``, in place, if they have to be."""
        event.tool_calls = tuple(self._numbered(event.choice, call) for call in event.tool_calls)

    def _numbered(self, choice: int, part: ToolCallDelta) -> ToolCallDelta:
        key = (choice, part.index)
        call = self._calls.get(key)
        if call is None or (part.name and part.id and call.id and part.id != call.id):
            self._calls[key] = call = _Call(part.id, self._free(key), part.name)
            return part if call.number == part.index else replace(part, index=call.number)
        id_ = None if part.id == call.id else part.id
        name = None if part.name == call.name else part.name
        call.id, call.name = call.id or id_, call.name or name
        return replace(part, index=call.number, id=id_, name=name)

    def _free(self, key: tuple[int, int]) -> int:
        choice, number = key
        if key in self._used:
            number = 1 + max(used for of, used in self._used if of == choice)
        self._used.add((choice, number))
        return number
