"""Refuse texts with an unbroken run of more than 10,000 characters before they are sent. Pure.

Engines differ in what they survive, and one document must not end an engine again and again. A
run ends at white space, or at a full-width punctuation mark, where tokenizers split in any case: so
Chinese and Japanese prose has none. Images and audio are no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rocm_core.errors import ConfigError

LONGEST_RUN = 10_000
"""Most characters of a run that an engine's tokenizer gets."""

_BREAK = re.compile(r"[\s\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]")
_SHOWN = 40


def long_run(text: str) -> tuple[int, int] | None:
    """Return the start and the length of the first run that is too long; ``None`` for none.

    Every such run has one of the positions that are looked at, so that the cost is some 100 looks
    for each million characters.
    """
    for position in range(LONGEST_RUN, len(text), LONGEST_RUN + 1):
        found = _BREAK.search(text, position)
        end = found.start() if found else len(text)
        if end > position:
            start = _start_of_run(text, position)
            if end - start > LONGEST_RUN:
                return start, end - start
    return None


def _start_of_run(text: str, position: int) -> int:
    reach = 64
    while position > 0:
        begin = max(0, position - reach)
        breaks = [found.end() for found in _BREAK.finditer(text, begin, position)]
        if breaks:
            return breaks[-1]
        position, reach = begin, LONGEST_RUN
    return 0


def refuse_long_run(text: str, name: str, remedy: str = "") -> None:
    """Raise if a text has a run of more than ``LONGEST_RUN`` characters.

    Args:
        text: the text; what is none is left to the request's own checks.
        name: what the message calls it.
        remedy: a sentence that the message ends with.

    Raises:
        ConfigError: the message names the text, where the run begins, and how long it is.
    """
    if isinstance(text, str) and len(text) > LONGEST_RUN and (found := long_run(text)):
        start, length = found
        raise ConfigError(
            f"{name} has {length:,} characters without a break, from character {start} on "
            f"({text[start : start + _SHOWN]!r}…); some engines survive no more than "
            f"{LONGEST_RUN:,}. Remove them (encoded data is no text), or put white space into "
            f"them.{remedy}"
        )


def refuse_long_runs(texts: Iterable[str], what: str = "texts", first: int = 0) -> None:
    """``refuse_long_run`` of several texts, which the message names by ``what`` and index.

    ``first`` is the index of the first one in the caller's list.
    """
    for index, text in enumerate(texts, first):
        if len(text) > LONGEST_RUN:
            refuse_long_run(text, f"{what}[{index}]")


def refuse_long_runs_in_messages(messages: Iterable[Mapping[str, Any]], remedy: str = "") -> None:
    """``refuse_long_run`` of a conversation: contents, thoughts, arguments of calls."""
    for index, message in enumerate(messages):
        for text in _texts(message):
            refuse_long_run(text, f"messages[{index}]", remedy)


def refuse_long_runs_in_fields(fields: Mapping[str, Any], remedy: str = "") -> None:
    """``refuse_long_run`` of what else a chat template shows: tools, and its own variables."""
    for index, tool in enumerate(fields.get("tools") or ()):
        for text in _strings(tool):
            refuse_long_run(text, f"tools[{index}]", remedy)
    for text in _strings(fields.get("chat_template_kwargs")):
        refuse_long_run(text, "chat_template_kwargs", remedy)


def refuse_long_runs_in(body: Mapping[str, Any], *names: str) -> None:
    """``refuse_long_run`` of every text in these fields of a request's body, at any depth."""
    for name in names:
        for text in _strings(body.get(name)):
            refuse_long_run(text, name)


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    parts: Sequence[Any] = content if isinstance(content, list | tuple) else [content]
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, str):
            yield text
    if isinstance(thought := message.get("reasoning_content"), str):
        yield thought
    for call in message.get("tool_calls") or ():
        arguments = call.get("function", {}).get("arguments") if isinstance(call, Mapping) else None
        yield from _strings(arguments)


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
