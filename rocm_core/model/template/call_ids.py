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

    A call without an id gets one from its place, and so does the result that answers it: the
    first result without an id answers the first call without one, and so on.
    """
    calls = _Places()
    results = _Places()
    changed = []
    for message in messages:
        fields: dict[str, Any] = {}
        if made := message.get("tool_calls"):
            fields["tool_calls"] = [{**call, "id": calls.id_of(call.get("id"))} for call in made]
        if message["role"] == "tool":
            fields["tool_call_id"] = results.id_of(message.get("tool_call_id"))
        changed.append({**message, **fields})
    return changed


class _Places:
    """Numbers what has no id."""

    def __init__(self) -> None:
        self._count = 0

    def id_of(self, id_: Any) -> str:
        if _accepted(id_):
            return str(id_)
        if not id_:
            self._count += 1
            id_ = f"without an id: {self._count}"
        return hashlib.sha256(str(id_).encode()).hexdigest()[:_LENGTH]
