"""What a model's own chat template makes of a conversation: its length, and what it accepts.

    fit(messages)    a conversation as the template takes it: system messages merged and moved,
                     turns of one role joined, only where the template demands it
    count(messages)  the length of the prompt in tokens, as the server itself would make it

Templates are programs; the server is asked (``POST /apply-template``), once, and only when a
conversation has something that some templates refuse.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from rocm_core.backend import Connection
from rocm_core.errors import EndpointNotFound, HTTPStatusError

Messages = Sequence[Mapping[str, Any]]
_REMEMBERED = 512
_EMPTY_LINE = "\n\n"
_TURNS = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Demands:
    """What a template insists on."""

    no_system: bool = False
    leading_system: bool = False
    alternating: bool = False


# ---------------------------------------------------------------------------
# Pure
# ---------------------------------------------------------------------------

_LATE_SYSTEM = [
    {"role": "user", "content": "probe-1"},
    {"role": "assistant", "content": "probe-2"},
    {"role": "system", "content": "probe-3"},
    {"role": "user", "content": "probe-4"},
]
_TWICE_USER = [{"role": "user", "content": "probe-1"}, {"role": "user", "content": "probe-2"}]


def merged_head(messages: Messages) -> list[dict[str, Any]]:
    """The messages with those system messages that stand in front as one: always welcome."""
    result = [dict(message) for message in messages]
    while len(result) > 1 and result[0]["role"] == result[1]["role"] == "system":
        result[0] = _joined(result[0], result.pop(1))
    return result


def questionable(messages: Messages) -> bool:
    """Whether some templates refuse this order of roles."""
    roles = [message["role"] for message in merged_head(messages)]
    return "system" in roles[1:] or any(
        a == b and a in _TURNS for a, b in itertools.pairwise(roles)
    )


def fitted(messages: Messages, demands: Demands) -> list[dict[str, Any]]:
    """The conversation in an order that a template with these demands accepts."""
    result = merged_head(messages)
    if demands.leading_system or demands.no_system:
        system = [m for m in result if m["role"] == "system"]
        rest = [m for m in result if m["role"] != "system"]
        result = merged_head([*system, *rest])
    if demands.no_system and result and result[0]["role"] == "system":
        result[0]["role"] = "user"
        if len(result) > 1 and result[1]["role"] == "user":
            result[0] = _joined(result[0], result.pop(1))
    if demands.alternating:
        result = _alternating(result)
    return result


def _alternating(messages: Messages) -> list[dict[str, Any]]:
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


# ---------------------------------------------------------------------------
# With the server
# ---------------------------------------------------------------------------


class ChatTemplate:
    """The chat template of one model, through its server. Thread-safe."""

    def __init__(self, connection: Callable[[], Connection]) -> None:
        self._connection = connection
        self._known: Demands | None = None
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def fit(self, messages: Messages) -> list[dict[str, Any]]:
        """``messages``, in an order of roles that the template accepts."""
        connection = self._connection()
        connection.ready()
        if not questionable(messages):
            return fitted(messages, _demands(connection))
        if self._known is None:
            accepts = []
            for probe in (_LATE_SYSTEM, _TWICE_USER):
                try:
                    accepts.append(_shows(probe, connection.client.apply_template(probe)))
                except HTTPStatusError as error:
                    accepts.append(isinstance(error, EndpointNotFound))
            self._known = _demands(connection, accepts)
        return fitted(messages, self._known)

    async def afit(self, messages: Messages) -> list[dict[str, Any]]:
        """``fit`` for asyncio."""
        connection = self._connection()
        await connection.aready()
        if not questionable(messages):
            return fitted(messages, _demands(connection))
        if self._known is None:
            accepts = []
            for probe in (_LATE_SYSTEM, _TWICE_USER):
                try:
                    accepts.append(_shows(probe, await connection.aclient.apply_template(probe)))
                except HTTPStatusError as error:
                    accepts.append(isinstance(error, EndpointNotFound))
            self._known = _demands(connection, accepts)
        return fitted(messages, self._known)

    def count(self, messages: Messages, **fields: Any) -> int:
        """Tokens of the prompt that these messages (and ``tools``, …) make; remembered.

        ``POST /v1/chat/completions/input_tokens``; servers without it apply the template and
        tokenize its text.
        """
        key = _key(messages, fields)
        if (known := self._counts.get(key)) is not None:
            return known
        connection = self._connection()
        connection.ready()
        client = connection.client
        try:
            found = client.count_tokens(messages, **fields)
        except EndpointNotFound:
            prompt = client.apply_template(messages, **fields)
            found = len(client.tokenize(prompt, add_special=True))
        return self._remember(key, found)

    async def acount(self, messages: Messages, **fields: Any) -> int:
        """``count`` for asyncio."""
        key = _key(messages, fields)
        if (known := self._counts.get(key)) is not None:
            return known
        connection = self._connection()
        await connection.aready()
        client = connection.aclient
        try:
            found = await client.count_tokens(messages, **fields)
        except EndpointNotFound:
            prompt = await client.apply_template(messages, **fields)
            found = len(await client.tokenize(prompt, add_special=True))
        return self._remember(key, found)

    def _remember(self, key: bytes, count: int) -> int:
        self._counts[key] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count


def _shows(probe: Messages, prompt: str) -> bool:
    # Some templates drop silently what they do not expect.
    return all(message["content"] in prompt for message in probe)


def _demands(connection: Connection, accepts: Sequence[bool] = (True, True)) -> Demands:
    caps = connection.props.chat_template_caps if connection.props else {}
    return Demands(
        no_system=caps.get("supports_system_role") is False,
        leading_system=not accepts[0],
        alternating=not accepts[1],
    )


def _key(messages: Messages, fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps([list(messages), fields], option=orjson.OPT_NON_STR_KEYS)
