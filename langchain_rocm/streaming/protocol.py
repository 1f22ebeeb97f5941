"""Turn the events of a generation stream into LangChain's content-block protocol. Pure.

    message-start
      → content-block-start, content-block-delta*, content-block-finish   for each block
    → message-finish                                                      with usage and metadata

``stream_events(version="v3")`` reads these directly, without a chunk object per token; LangGraph
does so for ``invoke`` as well. Shapes: ``langchain_protocol.protocol``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_rocm.streaming.chunks import PROVIDER, STANDARD_REASONS, Ending
from rocm_core import StreamEvent, ToolCallDelta
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import CallReader, read_call

Event = dict[str, Any]


class ProtocolEvents:
    """Makes the protocol events of one chat answer.

    Attributes:
        ending: facts of the whole answer.
    """

    def __init__(
        self, model_name: str, message_id: str = "", *, calls: CallReader | None = None
    ) -> None:
        """Args:
        model_name: used until the stream names the model.
        message_id: id of the message that the events describe.
        calls: reads the tool calls, if the request has tools.
        """
        self.ending = Ending(model_name)
        self._calls = calls
        self._start = {"provider": PROVIDER, "model": model_name}
        self._id = message_id
        self._next = 0
        self._open: _Block | None = None
        self._logprobs: list[Any] = []

    def start(self) -> Event:
        """Return the first event, ``message-start``."""
        return {"event": "message-start", "role": "ai", "id": self._id, "metadata": self._start}

    def read(self, event: StreamEvent) -> Sequence[Event]:
        """Return the protocol events of one event, nearly always one."""
        if self._calls is not None:
            event = self._calls.read(event)
        if event.finish_reason or event.usage or event.timings:
            self.ending.note(event)
        if event.logprobs:
            self._logprobs += event.logprobs
        block = self._open
        if block and block.kind == "text" and not event.reasoning and not event.tool_calls:
            # Nearly every event: one more piece of text.
            text = event.text
            if not text:
                return ()
            block.parts.append(text)
            return (block.delta({"type": "text-delta", "text": text}),)
        events: list[Event] = []
        if event.reasoning:
            events += self._piece("reasoning", event.reasoning)
        if event.text:
            events += self._piece("text", event.text)
        for call in event.tool_calls:
            events += self._call(call)
        return events

    def last(self) -> list[Event]:
        """Return the events that end the last block and the message.

        Raises:
            InvalidAnswer: a tool call that the request requires is missing or cut off.
        """
        if self._calls is not None:
            self._calls.verify()
        metadata = self.ending.metadata()
        if self._logprobs:
            metadata["logprobs"] = {"content": self._logprobs}
        finish: Event = {"event": "message-finish", "metadata": metadata}
        if STANDARD_REASONS:
            finish |= self.ending.finish_fields()
        if usage := self.ending.usage():
            finish["usage"] = usage
        return [*self._close(), finish]

    def _piece(self, kind: str, text: str) -> list[Event]:
        events = []
        if self._open is None or self._open.kind != kind:
            events = self._begin(_Block(kind, self._next), {"type": kind, kind: ""})
        assert self._open is not None
        self._open.parts.append(text)
        events.append(self._open.delta({"type": f"{kind}-delta", kind: text}))
        return events

    def _call(self, call: ToolCallDelta) -> list[Event]:
        self.ending.calls = True
        events = []
        if self._open is None or self._open.call != call.index:
            block = _Block("tool_call", self._next, call.index, call.id, call.name)
            skeleton = {"type": "tool_call_chunk", "id": call.id, "name": call.name, "args": ""}
            events = self._begin(block, {**skeleton, "index": call.index})
        assert self._open is not None
        if call.arguments:
            self._open.parts.append(call.arguments)
            events.append(self._open.delta({"type": "tool-call-delta", "args": call.arguments}))
        return events

    def _begin(self, block: _Block, skeleton: Event) -> list[Event]:
        events = self._close()
        self._open, self._next = block, self._next + 1
        start = {"event": "content-block-start", "index": block.index, "content": skeleton}
        return [*events, start]

    def _close(self) -> list[Event]:
        block, self._open = self._open, None
        if block is None:
            return []
        return [{"event": "content-block-finish", "index": block.index, "content": block.whole()}]


class _Block:
    """A content block that is not finished; ``call`` is the number of its tool call, if any."""

    def __init__(
        self,
        kind: str,
        index: int,
        call: int | None = None,
        id_: str | None = None,
        name: str | None = None,
    ) -> None:
        self.kind = kind
        self.index = index
        self.call = call
        self.parts: list[str] = []
        self._id = id_
        self._name = name

    def delta(self, delta: Event) -> Event:
        """Return the event for one more piece."""
        return {"event": "content-block-delta", "index": self.index, "delta": delta}

    def whole(self) -> Event:
        """Return the finished block; a call without a name or a JSON object is invalid."""
        text = "".join(self.parts)
        if self.kind != "tool_call":
            return {"type": self.kind, self.kind: text}
        call: Event = {"type": "tool_call", "id": self._id or "", "name": self._name or ""}
        try:
            return {**call, "args": read_call(self._name, text)}
        except InvalidAnswer as error:
            return {**call, "type": "invalid_tool_call", "args": text, "error": str(error)}
