"""Which requests begin with the same text, and so share a replica's prompt cache. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

# Characters (token ids) of a plain prompt that decide where it goes: about a page of tokens.
_PREFIX, _PREFIX_IDS = 1024, 256


def prompt_key(body: Mapping[str, Any], session: str = "") -> str:
    """Return a digest that is the same for all turns of one conversation; empty for no prompt.

    A conversation is known by everything up to its first message of the user, with that message:
    a system message alone is shared by too many. A plain prompt is known by its beginning.

    Args:
        body: the request, decoded.
        session: the client's own name for the conversation (``X-Session-Id``), which goes first.
    """
    if session:
        return _digest(session)
    messages = body.get("messages")
    if isinstance(messages, list) and messages:
        return _digest(_opening(messages))
    prompt = body.get("prompt") or body.get("input_prefix")
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        prompt = prompt[0]  # of a batch of prompts
    if isinstance(prompt, str):
        return _digest(prompt[:_PREFIX]) if prompt else ""
    if isinstance(prompt, list) and prompt:
        return _digest(prompt[:_PREFIX_IDS])
    return ""


def _opening(messages: Sequence[Any]) -> list[Any]:
    for number, message in enumerate(messages, 1):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return list(messages[:number])
    return list(messages)


def _digest(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12).hexdigest()
