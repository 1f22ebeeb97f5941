"""Bring a conversation into an order of roles that a chat template accepts. Pure.

System messages are merged and moved, turns of one role joined.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Conversation = Sequence[Mapping[str, Any]]
_EMPTY_LINE = "\n\n"
_TURNS = ("user", "assistant")
SYSTEM = ("system", "developer")  # OpenAI's newer name; llama-server takes one for the other


@dataclass(slots=True, eq=False)
class Demands:
    """The order of roles that a template demands.

    Attributes:
        no_system: no system message at all.
        leading_system: a system message comes first, or not at all.
        alternating: no two turns of the user, or of the assistant, in a row.
    """

    no_system: bool = False
    leading_system: bool = False
    alternating: bool = False


def merged_head(messages: Conversation) -> list[dict[str, Any]]:
    """Return the messages, the leading system messages as one: no template refuses that."""
    result = [dict(message) for message in messages]
    while len(result) > 1 and result[0]["role"] in SYSTEM and result[1]["role"] in SYSTEM:
        result[0] = _joined(result[0], result.pop(1))
    return result


def plain(messages: Conversation) -> bool:
    """Return whether every template shows this conversation as it is.

    Texts of the user and the assistant in turn, the user first, after at most one run of system
    messages. A conversation that is not plain may be fine as well; that depends on the template.
    """
    roles = [message["role"] for message in merged_head(messages)]
    turns = roles[1:] if roles and roles[0] in SYSTEM else roles
    return (
        bool(turns)
        and all(role == _TURNS[i % 2] for i, role in enumerate(turns))
        and all(isinstance(message.get("content"), str) for message in messages)
        and not any(message.get("tool_calls") for message in messages)
    )


def questionable(messages: Conversation) -> bool:
    """Return whether some templates refuse this order of roles."""
    roles = [message["role"] for message in merged_head(messages)]
    return any(role in SYSTEM for role in roles[1:]) or any(
        a == b and a in _TURNS for a, b in itertools.pairwise(roles)
    )


def fitted(messages: Conversation, demands: Demands) -> list[dict[str, Any]]:
    """Return the conversation in an order that a template with these demands accepts."""
    result = merged_head(messages)
    if demands.leading_system or demands.no_system:
        system = [m for m in result if m["role"] in SYSTEM]
        rest = [m for m in result if m["role"] not in SYSTEM]
        result = merged_head([*system, *rest])
    if demands.no_system and result and result[0]["role"] in SYSTEM:
        result[0]["role"] = "user"
        if len(result) > 1 and result[1]["role"] == "user":
            result[0] = _joined(result[0], result.pop(1))
    if demands.alternating:
        result = _alternating(result)
    return result


def _alternating(messages: Conversation) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for message in messages:
        last = result[-1] if result else None
        same = last is not None and last["role"] == message["role"] in _TURNS
        if last is not None and same and not last.get("tool_calls"):
            result[-1] = _joined(last, message)
        else:
            result.append(dict(message))
    return result


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    a, b = one.get("content") or "", other.get("content") or ""
    if isinstance(a, str) and isinstance(b, str):
        content: Any = _EMPTY_LINE.join(text for text in (a, b) if text)
    else:
        content = [*_parts(a), *_parts(b)]
    return {**one, **other, "content": content, "role": one["role"]}


def _parts(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)
