"""The fields of an event that few events have: tool calls, log probabilities, counts, times.

Every reader raises ``TypeError`` or ``ValueError`` for what is of the wrong kind; ``events`` makes
a ``ProtocolError`` of it. What is passed on has the types that ``rocm_core.types`` says. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from rocm_core.types import Timings, ToolCallDelta, Usage

_NUMBER = (int, float)


def text_or_none(value: Any) -> str | None:
    """Return a text, or ``None`` for an absent or an empty one."""
    if value is not None and type(value) is not str:
        raise TypeError(f"no text: {value!r:.80}")
    return value or None


def read_count(value: Any) -> int:
    """Return a count; an absent one is 0, and some servers write it as a text."""
    if value is None:
        return 0
    if type(value) is str and value.isascii() and value.isdecimal():
        value = int(value[:18])
    if type(value) is not int:
        raise TypeError(f"no count: {value!r:.80}")
    return value


def read_index(value: Any) -> int:
    """Return the number of an answer; ``ValueError`` for a negative one, which no request has."""
    if (index := read_count(value)) < 0:
        raise ValueError(f"no number of an answer: {index}")
    return index


def read_ids(ids: Any) -> tuple[int, ...]:
    """Return token ids."""
    for id_ in ids:
        if type(id_) is not int:
            raise TypeError(f"no token id: {id_!r:.80}")
    return tuple(ids)


def read_tool_calls(calls: Any) -> tuple[ToolCallDelta, ...]:
    """Return the parts of tool calls in one event.

    A call without an index has that of its place in the list, as in an answer that is no stream.
    """
    if type(calls) is not list:
        raise TypeError(f"no list of tool calls: {calls!r:.80}")
    return tuple(_tool_call(place, call) for place, call in enumerate(calls))


def _tool_call(place: int, call: Mapping[str, Any]) -> ToolCallDelta:
    function = call.get("function") or {}
    index, id_, arguments = call.get("index"), call.get("id"), function.get("arguments")
    if type(id_) is int:
        id_ = str(id_)
    if arguments is None:
        arguments = ""
    elif type(arguments) is dict:
        # Ollama's own API writes them so, and servers that pass its answers on.
        arguments = json.dumps(arguments, ensure_ascii=False)
    elif type(arguments) is not str:
        raise TypeError(f"no arguments: {arguments!r:.80}")
    return ToolCallDelta(
        index=place if index is None else read_count(index),
        id=text_or_none(id_),
        name=text_or_none(function.get("name")),
        arguments=arguments,
    )


def read_logprobs(entries: Any) -> list[dict[str, Any]]:
    """Return the log probabilities of an event's tokens, of either dialect, as they are."""
    _check_entries(entries)
    for entry in entries:
        for name in ("top_logprobs", "top_probs"):
            if entry.get(name) is not None:
                _check_entries(entry[name])
    return entries  # type: ignore[no-any-return]


def _check_entries(entries: Any) -> None:
    if type(entries) is not list:
        raise TypeError(f"no list of log probabilities: {entries!r:.80}")
    for entry in entries:
        text_or_none(entry.get("token"))
        for name in ("logprob", "prob"):
            value = entry.get(name)
            if value is not None and type(value) not in _NUMBER:
                raise TypeError(f"no log probability: {value!r:.80}")
        if entry.get("bytes") is not None:
            read_ids(entry["bytes"])


def ids_of(entries: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Return the token ids in log probabilities."""
    return read_ids([entry["id"] for entry in entries if entry.get("id") is not None])


def read_usage(usage: Mapping[str, Any]) -> Usage | None:
    """Read the OpenAI ``usage`` object; ``None`` as for ``read_native_usage``."""
    details = usage.get("prompt_tokens_details") or {}
    return _usage(
        usage.get("prompt_tokens"), usage.get("completion_tokens"), details.get("cached_tokens")
    )


def read_native_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Read the counts in the last event of the native dialect.

    ``None`` if one is absent, or negative: some write -1 for what they do not know.
    """
    if "tokens_predicted" not in raw or "tokens_evaluated" not in raw:
        return None
    cached = (raw.get("timings") or {}).get("cache_n")
    return _usage(raw["tokens_evaluated"], raw["tokens_predicted"], cached)


def _usage(*counts: Any) -> Usage | None:
    read = [read_count(count) for count in counts]
    return Usage(*read) if min(read) >= 0 else None


_TIMING_FIELDS: dict[str, Callable[[Any], Any]] = {
    f.name: float if isinstance(f.default, float) else int for f in fields(Timings)
}


def read_timings(timings: Mapping[str, Any]) -> Timings | None:
    """Read llama-server's ``timings`` object; ``None`` if a value is negative or not finite."""
    read = {name: kind(timings.get(name) or 0) for name, kind in _TIMING_FIELDS.items()}
    return Timings(**read) if all(0 <= value < math.inf for value in read.values()) else None


def without_surrogates(value: Any) -> Any:
    """Return a decoded JSON value with U+FFFD in place of lone surrogates, which no text may hold.

    ``json.loads`` makes them of escapes such as ``"\\\\ud83d"``.
    """
    if type(value) is str:
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is list:
        return [without_surrogates(each) for each in value]
    if type(value) is dict:
        return dict(_pairs(value.items()))
    return value


def _pairs(items: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((without_surrogates(name), without_surrogates(value)) for name, value in items)
