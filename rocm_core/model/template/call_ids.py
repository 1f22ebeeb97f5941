"""Give tool calls the ids that a chat template accepts. Pure.

Mistral's templates refuse any id but nine letters or digits, also those that llama-server itself
gives to calls. An id becomes a digest of itself: the same in every turn of a conversation, in every
request and in every program, so that the beginning of the prompt stays in the server's cache.
"""

from __future__ import annotations

import hashlib
from typing import Any

from rocm_core.model.template.roles import Conversation

_LENGTH = 9


def _accepted(id_: Any) -> bool:
    """Return whether every template accepts this id."""
    return isinstance(id_, str) and len(id_) == _LENGTH and id_.isascii() and id_.isalnum()


def shortened(messages: Conversation) -> list[dict[str, Any]]:
    """Return the messages, every id as nine letters and digits.

    A call without an id gets one from its place; a result without an id is that of the first call
    before it that has none yet.
    """
    changed: list[dict[str, Any]] = []
    count = 0
    waiting: list[str] = []  # ids of calls without a result
    for message in messages:
        fields: dict[str, Any] = {}
        if calls := message.get("tool_calls"):
            ids = [call.get("id") or f"without an id: {count + i}" for i, call in enumerate(calls)]
            waiting = list(map(_short, ids))
            fields["tool_calls"] = [
                {**call, "id": id_} for call, id_ in zip(calls, waiting, strict=True)
            ]
            count += len(calls)
        elif message["role"] == "tool":
            given = message.get("tool_call_id") or (waiting[0] if waiting else "without an id")
            fields["tool_call_id"] = id_ = _short(given)
            waiting = [other for other in waiting if other != id_]
        changed.append({**message, **fields})
    return changed


def _short(id_: Any) -> str:
    if _accepted(id_):
        return str(id_)
    return hashlib.sha256(str(id_).encode()).hexdigest()[:_LENGTH]
