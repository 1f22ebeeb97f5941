"""Payloads of a generation stream in, ``StreamEvent`` objects out.

    payload ``{…}``     → one StreamEvent (chat, text completion and native dialects)
    line of NDJSON      → the same, or one of the forms in ``ndjson``
    payload ``[DONE]``  → end marker of the OpenAI dialects
    ``"stop": true``    → end marker of the native dialect (it sends no ``[DONE]``)
    ``{"error": …}``    → raises, typed like an HTTP error
    end of bytes without an end marker → raises ``StreamInterrupted``

Shapes: llama.cpp ``tools/server/server-task.cpp`` (``to_json_oaicompat_chat_stream``,
``to_json_oaicompat``, ``to_json_non_oaicompat``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import orjson

from rocm_core.client.failures import error_from_body, shown
from rocm_core.client.stream.coalesce import coalesced
from rocm_core.client.stream.framing import DONE, Framing
from rocm_core.client.stream.ndjson import read_own_line, read_text_line
from rocm_core.errors import ProtocolError, RocmError, StreamInterrupted
from rocm_core.types import StreamEvent, Timings, ToolCallDelta, Usage

_STOP_REASONS = {"eos": "stop", "word": "stop", "limit": "length"}


class StreamDecoder:
    """Bytes of one generation stream to events, sans I/O.

    Attributes:
        ended: the end marker has been seen; what follows it is not read.
    """

    def __init__(self, *, coalesce: bool = False) -> None:
        """``coalesce``: join the pieces of text that one chunk completes."""
        self.ended = False
        self._framing = Framing()
        self._coalesce = coalesce
        self._only_text = False  # lines that are strings: nothing can mark the end
        self._has_text = False

    def feed(self, chunk: bytes) -> Iterator[StreamEvent]:
        """Yield the events that ``chunk`` completes; those before a failure come first.

        Raises:
            ProtocolError: a payload is not a JSON object of a known shape.
            HTTPStatusError: the server reported an error inside the stream.
        """
        events = self._events(self._framing.feed(chunk))
        return coalesced(events) if self._coalesce else events

    def close(self) -> Iterator[StreamEvent]:
        """Yield the events that the end of the bytes completes.

        Raises:
            StreamInterrupted: the bytes ended before the end marker.
        """
        if self.ended:
            return
        cut = False
        try:
            yield from self._events(self._framing.close())
        except ProtocolError:
            cut = True  # a last payload that was cut short is an interruption
        if not self.ended and (cut or not self._only_text):
            raise StreamInterrupted(
                "the stream ended without its end marker: the answer is incomplete"
            )

    def _events(self, payloads: list[bytes]) -> Iterator[StreamEvent]:
        if self._framing.ndjson:
            yield from self._lines(payloads)
            return
        for payload in payloads:
            if self.ended:
                return
            if payload == DONE:
                self.ended = True
                return
            raw = parse_object(payload)
            event = read_event(raw)
            if raw.get("stop") is True:
                self.ended = True
            yield event

    def _lines(self, lines: list[bytes]) -> Iterator[StreamEvent]:
        for line in lines:
            if self.ended:
                return
            if line.lstrip().startswith(b'"'):
                event = read_text_line(line)
                self._only_text = True
            else:
                raw = parse_object(line)
                event = read_own_line(raw, whole=not self._has_text) or read_event(raw)
                self._only_text = False
                self.ended = raw.get("stop") is True or raw.get("done") is True
            self._has_text = self._has_text or bool(event.text)
            yield event


def parse_object(payload: bytes) -> dict[str, Any]:
    """Decode a JSON object; invalid UTF-8 is replaced, as in the event stream grammar.

    orjson costs a quarter of ``json.loads`` per event (``benchmarks/``) but refuses invalid
    UTF-8 and lone surrogates, which servers have sent: those go to the standard library.

    Raises:
        ProtocolError: it is not a JSON object.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(payload.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"not JSON: {payload[:200]!r}") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"expected a JSON object, got {payload[:200]!r}")
    return value


def read_event(raw: dict[str, Any]) -> StreamEvent:
    """Return one decoded payload as an event.

    Raises:
        ProtocolError: its shape is not one of a generation stream.
        HTTPStatusError: it is an error report.
    """
    try:
        if "error" in raw:
            raise error_from_body(raw)
        choices = raw.get("choices")
        if choices is None:
            return _native_event(raw)
        return _choice_event(raw, choices)
    except RocmError:
        raise
    except (AttributeError, TypeError, LookupError, ValueError, OverflowError) as error:
        raise ProtocolError(f"unexpected shape of a stream event: {shown(raw)}") from error


def _choice_event(raw: dict[str, Any], choices: list[dict[str, Any]]) -> StreamEvent:
    event = StreamEvent("", raw)
    if choices:
        choice = choices[0]
        delta = choice.get("delta")
        if delta is not None:
            text = delta.get("content")
            if text is None:
                _delta_fields(event, delta)
            elif len(delta) > 1:
                event.text = text
                _delta_fields(event, delta)
            else:
                event.text = text
        else:
            event.text = choice.get("text") or ""
        event.finish_reason = choice.get("finish_reason")
        if "logprobs" in choice:
            _logprob_fields(event, choice["logprobs"])
    if raw.get("usage"):
        event.usage = read_usage(raw["usage"])
    if "timings" in raw:
        event.timings = read_timings(raw["timings"])
    if event.finish_reason or event.usage:
        event.model = raw.get("model")
    _require_text(event)
    return event


def _require_text(event: StreamEvent) -> None:
    if type(event.text) is not str or type(event.reasoning) is not str:
        raise TypeError("text of an event must be a string")


def _delta_fields(event: StreamEvent, delta: dict[str, Any]) -> None:
    # llama-server and DeepSeek say reasoning_content; vLLM and OpenRouter say reasoning.
    event.reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
    calls = delta.get("tool_calls")
    if calls:
        event.tool_calls = tuple(_tool_call(call) for call in calls)


def _tool_call(call: dict[str, Any]) -> ToolCallDelta:
    function = call.get("function") or {}
    return ToolCallDelta(
        index=call.get("index", 0),
        id=call.get("id") or None,
        name=function.get("name") or None,
        arguments=function.get("arguments") or "",
    )


def _logprob_fields(event: StreamEvent, logprobs: dict[str, Any] | None) -> None:
    if logprobs and logprobs.get("content"):
        event.logprobs = logprobs["content"]
        event.token_ids = tuple(
            entry["id"] for entry in logprobs["content"] if entry.get("id") is not None
        )


def _native_event(raw: dict[str, Any]) -> StreamEvent:
    text = raw.get("content")
    if text is None:
        raise KeyError("content")
    event = StreamEvent(text, raw)
    tokens = raw.get("tokens")
    if tokens and "prompt_progress" not in raw:  # progress events carry a bogus [0]
        event.token_ids = tuple(tokens)
    if "completion_probabilities" in raw:
        event.logprobs = raw["completion_probabilities"]
    if raw.get("stop") is True:
        event.finish_reason = _STOP_REASONS.get(raw.get("stop_type", ""), "stop")
        event.stop_word = raw.get("stopping_word") or None
        event.usage = _native_usage(raw)
        event.model = raw.get("model")
        if "timings" in raw:
            event.timings = read_timings(raw["timings"])
    _require_text(event)
    return event


def _native_usage(raw: dict[str, Any]) -> Usage | None:
    if "tokens_predicted" not in raw or "tokens_evaluated" not in raw:
        return None
    cached = (raw.get("timings") or {}).get("cache_n", 0)
    return Usage(raw["tokens_evaluated"], raw["tokens_predicted"], cached)


def read_usage(usage: dict[str, Any]) -> Usage:
    """Read the OpenAI ``usage`` object."""
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
        cached_tokens=details.get("cached_tokens") or 0,
    )


_TIMING_FIELDS: dict[str, Callable[[Any], Any]] = {
    f.name: float if isinstance(f.default, float) else int for f in fields(Timings)
}


def read_timings(timings: dict[str, Any]) -> Timings:
    """Read llama-server's ``timings`` object."""
    return Timings(**{k: read(timings.get(k) or 0) for k, read in _TIMING_FIELDS.items()})
