"""Join the pieces of text that arrived together. Pure.

For a consumer that is slower than the server: while a notebook redraws or a socket to a browser
blocks, the server goes on writing. What one read of the socket then brings becomes one event, and
every layer up to the consumer handles one object instead of many.
"""

from __future__ import annotations

from collections.abc import Iterator

from rocm_core.errors import RocmError
from rocm_core.types import StreamEvent


def coalesced(events: Iterator[StreamEvent]) -> Iterator[StreamEvent]:
    """Yield ``events`` with neighboring pieces of text, or of reasoning, joined.

    Token ids and logprobs are joined with them; ``raw`` is that of the last piece. Everything else
    stays an event of its own. Events before a failure come first.
    """
    held: StreamEvent | None = None
    try:
        for event in events:
            if held is not None:
                if _alike(held, event):
                    _join(held, event)
                    continue
                yield held
            held = event
    except RocmError:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def _alike(one: StreamEvent, two: StreamEvent) -> bool:
    if not (_is_piece(one) and _is_piece(two)):
        return False
    return bool(one.text) == bool(two.text) and bool(one.reasoning) == bool(two.reasoning)


def _is_piece(event: StreamEvent) -> bool:
    more = event.tool_calls or event.finish_reason or event.usage or event.timings
    return bool(event.text) != bool(event.reasoning) and not more


def _join(held: StreamEvent, event: StreamEvent) -> None:
    held.text += event.text
    held.reasoning += event.reasoning
    held.token_ids += event.token_ids
    held.raw = event.raw
    if event.logprobs:
        held.logprobs = [*(held.logprobs or ()), *event.logprobs]
