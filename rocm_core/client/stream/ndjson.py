"""One line of NDJSON in, a ``StreamEvent`` out: what ``to_ndjson`` writes, and what servers send.

    "Hel"                                        a piece of text
    {"token": "Hel"}                             the same
    {"reasoning": "…"}, {"tool_call": {…}}       of ``to_ndjson``
    {"done": true, "content": "Hello", …}        the end: finish reason, usage, the whole text
    {"content": "Hel", "stop": false}            any event of the other dialects (``events``)

Pure. Lines of text alone have no end marker: their stream ends where the bytes end.
"""

from __future__ import annotations

import json
from typing import Any

from rocm_core.client.failures import shown
from rocm_core.client.stream.fields import read_count, text_or_none, without_surrogates
from rocm_core.errors import ProtocolError
from rocm_core.types import StreamEvent, ToolCallDelta, Usage

_OWN = ("token", "reasoning", "tool_call", "done")


def read_text_line(line: bytes) -> StreamEvent:
    """Return a line that is one JSON string as an event.

    Raises:
        ProtocolError: it is none.
    """
    try:
        text = json.loads(line.decode("utf-8", "replace"))
    except ValueError as error:
        raise ProtocolError(f"not JSON: {line[:200]!r}") from error
    return StreamEvent(without_surrogates(text))


def read_own_line(raw: dict[str, Any], *, whole: bool) -> StreamEvent | None:
    """Return a decoded line of ``to_ndjson`` as an event; ``None`` if it is of another form.

    Args:
        raw: the line.
        whole: whether no text has come before, so that the text of the last line counts.

    Raises:
        ProtocolError: a field is of the wrong type.
    """
    if raw.get("error") or not any(name in raw for name in _OWN):
        return None
    try:
        return _event(raw, whole)
    except (TypeError, AttributeError, ValueError) as error:
        raise ProtocolError(f"unexpected shape of a line: {shown(raw)}") from error


def _event(raw: dict[str, Any], whole: bool) -> StreamEvent:
    text = raw.get("token") or (whole and raw.get("done") and raw.get("content")) or ""
    event = StreamEvent(text, raw, reasoning=raw.get("reasoning") or "")
    if call := raw.get("tool_call"):
        event.tool_calls = (_tool_call(**call),)
    event.finish_reason = text_or_none(raw.get("finish_reason"))
    if usage := raw.get("usage"):
        counts = {name: read_count(value) for name, value in usage.items()}
        event.usage = Usage(**counts) if min(counts.values()) >= 0 else None
    if type(event.text) is not str or type(event.reasoning) is not str:
        raise TypeError("text of an event must be a string")
    return event


def _tool_call(index: int, id: str | None, name: str | None, arguments: str) -> ToolCallDelta:
    if type(arguments) is not str:
        raise TypeError("no arguments")
    return ToolCallDelta(read_count(index), text_or_none(id), text_or_none(name), arguments)
