"""Payloads of a generation stream in, ``StreamEvent`` objects out.

    payload ``{…}``     → one StreamEvent (chat, text completion and native dialects), or one for
                          each of the answers that it has pieces of
    line of NDJSON      → the same, or one of the forms in ``ndjson``
    a whole answer, as servers send it that do not stream → one StreamEvent, and the end
    payload ``[DONE]``  → end marker of the OpenAI dialects
    ``""``, ``{}``      → nothing: a sign of life
    ``"stop": true``    → end marker of the native dialect (it sends no ``[DONE]``)
    ``{"error": …}``    → raises, typed like an HTTP error
    end of bytes without an end marker → raises ``StreamInterrupted``

Shapes: llama.cpp ``tools/server/server-task.cpp`` (``to_json_oaicompat_chat_stream``,
``to_json_oaicompat``, ``to_json_non_oaicompat``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orjson import JSONDecodeError, loads

from rocm_core.client.failures import error_from_body, page_title, shown
from rocm_core.client.stream.coalesce import coalesced
from rocm_core.client.stream.fields import (
    ids_of,
    read_ids,
    read_index,
    read_logprobs,
    read_native_usage,
    read_timings,
    read_tool_calls,
    read_usage,
    text_or_none,
    without_surrogates,
)
from rocm_core.client.stream.framing import DONE, Framing
from rocm_core.client.stream.ndjson import read_own_line, read_text_line
from rocm_core.client.stream.numbers import CallNumbers, OneAnswer
from rocm_core.errors import ProtocolError, RocmError, StreamInterrupted
from rocm_core.types import StreamEvent

_STOP_REASONS = {"eos": "stop", "word": "stop", "limit": "length"}


class StreamDecoder:
    """Bytes of one generation stream to events, sans I/O.

    Attributes:
        ended: the end marker has been seen; what follows it is not read.
    """

    def __init__(self, *, coalesce: bool = False, answers: int = 0) -> None:
        """Args:
        coalesce: join the pieces of text that one chunk completes.
        answers: how many were asked for; pieces of others are passed over (of one: ``OneAnswer``).
            0: all are read, and the end of the first one is the end.
        """
        self.ended = False
        self._framing = Framing()
        self._coalesce = coalesce
        self._answers = answers
        self._unfinished = max(1, answers)  # of the native dialect, each with an end of its own
        self._only_text = False  # lines that are strings: nothing can mark the end
        self._has_text = False
        # The lines of an answer that is one object, written on several lines.
        self._object: list[bytes] | None = None
        self._any = False
        self._one = OneAnswer() if answers == 1 else None
        self._calls = CallNumbers()

    def feed(self, chunk: bytes) -> Iterator[StreamEvent]:
        """Yield the events that ``chunk`` completes; those before a failure come first.

        Raises:
            ProtocolError: a payload is not a JSON object of a known shape.
            HTTPStatusError: the server reported an error inside the stream.
        """
        if not self._any:
            self._any = bool(chunk)
        events = self._events(self._framing.feed(chunk))
        return coalesced(events) if self._coalesce else events

    def close(self) -> Iterator[StreamEvent]:
        """Yield the events that the end of the bytes completes.

        Raises:
            StreamInterrupted: the bytes ended before the end marker.
        """
        if self.ended:
            return
        cut: ProtocolError | None = None
        try:
            yield from self._events(self._framing.close())
            if self._object is not None:
                yield from self._of_line(b"\n".join(self._object))
        except ProtocolError as error:
            cut = error  # a last payload that was cut short is an interruption
        yield from self._rest()
        if not self.ended and (cut or not self._only_text):
            why = f" ({cut})" if cut else "" if self._any else " (nothing came)"
            raise StreamInterrupted(
                f"the stream ended without its end marker: the answer is incomplete{why}"
            ) from cut

    def _events(self, payloads: list[bytes]) -> Iterator[StreamEvent]:
        if self._framing.ndjson:
            yield from self._lines(payloads)
            return
        if self.ended:
            return
        for payload in payloads:
            try:
                raw = loads(payload)
            except JSONDecodeError:
                raw = self._no_json(payload)
            if type(raw) is not dict:
                raw = parse_object(payload)
            if raw:
                event = read_event(raw)
                if event.tool_calls:
                    self._calls.renumber(event)
                if self._wanted(event):
                    yield event
                choices = raw.get("choices")
                if choices and len(choices) > 1:
                    yield from self._others(raw, len(choices))
                if "stop" in raw and raw["stop"] is True:
                    self._unfinished -= 1
                    self.ended = self._unfinished < 1
            if self.ended:
                yield from self._rest()
                return

    def _no_json(self, payload: bytes) -> dict[str, Any]:
        """Read what orjson refuses: the end marker, a blank, or JSON with invalid text."""
        rest = payload.strip()
        self.ended = rest == DONE
        return {} if self.ended or not rest else parse_object(payload)

    def _lines(self, lines: list[bytes]) -> Iterator[StreamEvent]:
        for line in lines:
            if self.ended:
                return
            if self._object is not None:
                self._object.append(line)
            elif not self._has_text and not line.rstrip().endswith((b"}", b'"')):
                self._object = [line]  # its end comes in another line
            else:
                yield from self._of_line(line)

    def _of_line(self, line: bytes) -> Iterator[StreamEvent]:
        raw: dict[str, Any] = {}
        if line.lstrip().startswith(b'"'):
            event = read_text_line(line)
            self._only_text = True
        else:
            raw = parse_object(line)
            event = read_own_line(raw, whole=not self._has_text) or read_event(raw)
            self._only_text = False
            ends = raw.get("stop") is True or raw.get("done") is True
            self.ended = ends or is_whole_answer(raw)
        self._has_text = self._has_text or bool(event.text)
        self._calls.renumber(event)
        if self._wanted(event):
            yield event
        if type(choices := raw.get("choices")) is list and len(choices) > 1:
            yield from self._others(raw, len(choices))
        if self.ended:
            yield from self._rest()

    def _others(self, raw: dict[str, Any], count: int) -> Iterator[StreamEvent]:
        """Yield the pieces of further answers in one payload."""
        for place in range(1, count):
            event = read_event(raw, place)
            self._calls.renumber(event)
            if self._wanted(event):
                yield event

    def _wanted(self, event: StreamEvent) -> bool:
        if (one := self._one) is not None:
            return (one.known and not event.choice) or one.takes(event)
        return not self._answers or event.choice < self._answers

    def _rest(self) -> Iterator[StreamEvent]:
        return self._one.rest() if self._one else iter(())


def is_whole_answer(raw: dict[str, Any]) -> bool:
    """Return whether a decoded object is an answer of the OpenAI dialects that is no stream."""
    choices = raw.get("choices")
    first = choices[0] if type(choices) is list and choices else None
    if type(first) is not dict:
        return False
    return "message" in first or ("text" in first and bool(first.get("finish_reason")))


def parse_object(payload: bytes) -> dict[str, Any]:
    """Decode a JSON object; invalid UTF-8 is replaced, as in the event stream grammar.

    orjson costs a quarter of ``json.loads`` per event (``benchmarks/``) but refuses invalid
    UTF-8 and lone surrogates, which servers have sent: those go to the standard library.

    Raises:
        ProtocolError: it is not a JSON object.
    """
    try:
        value = loads(payload)
    except JSONDecodeError:
        try:
            value = without_surrogates(json.loads(payload.decode("utf-8", "replace")))
        except (ValueError, RecursionError) as error:
            what = page_title(payload) or f"not JSON: {payload[:200]!r}"
            raise ProtocolError(what) from error
    if type(value) is not dict:
        raise ProtocolError(f"expected a JSON object, got {payload[:200]!r}")
    return value


def read_event(raw: dict[str, Any], place: int = 0) -> StreamEvent:
    """Return one decoded payload as an event.

    Args:
        raw: the payload.
        place: which of its choices; the facts of the request are in the event of the first.

    Raises:
        ProtocolError: its shape is not one of a generation stream.
        HTTPStatusError: it is an error report.
    """
    try:
        # Some servers write null in every event; ``in`` tells sooner that it is not there.
        if "error" in raw and raw["error"]:  # noqa: RUF019
            raise error_from_body(raw)
        choices = raw.get("choices")
        if choices is None and "choices" not in raw:
            return _native_event(raw)
        return _choice_event(raw, choices or [], place)
    except RocmError:
        raise
    except (AttributeError, TypeError, LookupError, ValueError, OverflowError) as error:
        raise ProtocolError(f"unexpected shape of a stream event: {shown(raw)}") from error


def _choice_event(raw: dict[str, Any], choices: list[dict[str, Any]], place: int) -> StreamEvent:
    finish = None
    if not choices:
        event = StreamEvent("", raw)
    else:
        choice = choices[place]
        delta = choice.get("delta")
        # Almost every event of a chat has a piece of text and nothing else.
        if delta and len(delta) == 1 and type(text := delta.get("content")) is str:
            event = StreamEvent(text, raw)
        else:
            event = StreamEvent("", raw)
            _message_fields(event, choice, delta)
        if index := choice.get("index"):
            event.choice = read_index(index)
        if finish := choice.get("finish_reason"):
            event.finish_reason = text_or_none(finish)
        if "logprobs" in choice:
            _logprob_fields(event, choice["logprobs"])
    if (finish or "usage" in raw or "timings" in raw) and place == 0:
        _facts(event, raw)
    return event


def _message_fields(
    event: StreamEvent, choice: dict[str, Any], delta: dict[str, Any] | None
) -> None:
    if delta is None:
        delta = choice.get("message")  # of an answer that is no stream
    if delta is None:
        event.text = choice.get("text") or ""
    else:
        text = delta.get("content")
        if text is not None:
            event.text = text
        # llama-server and DeepSeek say reasoning_content; vLLM and OpenRouter say reasoning.
        event.reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
        if calls := delta.get("tool_calls"):
            event.tool_calls = read_tool_calls(calls)
    _require_text(event)


def _facts(event: StreamEvent, raw: dict[str, Any]) -> None:
    """Read the facts of the request, which come once."""
    if raw.get("usage"):
        event.usage = read_usage(raw["usage"])
    if raw.get("timings"):
        event.timings = read_timings(raw["timings"])
    if event.finish_reason or event.usage:
        event.model = text_or_none(raw.get("model"))


def _require_text(event: StreamEvent) -> None:
    if type(event.text) is not str or type(event.reasoning) is not str:
        raise TypeError("text of an event must be a string")


def _logprob_fields(event: StreamEvent, logprobs: dict[str, Any] | None) -> None:
    if logprobs and logprobs.get("content"):
        event.logprobs = read_logprobs(logprobs["content"])
        event.token_ids = ids_of(event.logprobs)


def _native_event(raw: dict[str, Any]) -> StreamEvent:
    text = raw.get("content")
    if type(text) is not str:
        raise TypeError("text of an event must be a string")
    event = StreamEvent(text, raw)
    tokens = raw.get("tokens")
    if tokens and "prompt_progress" not in raw:  # progress events carry a bogus [0]
        event.token_ids = read_ids(tokens)
    if index := raw.get("index"):
        event.choice = read_index(index)
    if "completion_probabilities" in raw and (entries := raw["completion_probabilities"]):
        event.logprobs = read_logprobs(entries)
    if "stop" in raw and raw["stop"] is True:
        event.finish_reason = _STOP_REASONS.get(raw.get("stop_type", ""), "stop")
        event.stop_word = text_or_none(raw.get("stopping_word"))
        event.usage = read_native_usage(raw)
        event.model = text_or_none(raw.get("model"))
        if raw.get("timings"):
            event.timings = read_timings(raw["timings"])
    return event
