"""Turn the events of a stream into LlamaIndex responses. Pure; serves sync and async.

    StreamEvent → Answer.add()   → one response per piece: ``delta`` is the piece, the text so
                                   far is cumulative, ``raw`` is the event's JSON object
    the end     → Answer.last()  → the whole text; ``raw`` also has the facts of the request
                  Answer.whole() → the same for a call that does not stream

Reasoning is never part of ``delta``: it comes as ``additional_kwargs["thinking_delta"]``, and
whole as a ``ThinkingBlock`` (chat) or as ``additional_kwargs["thinking"]`` (completion). Tool
calls are ``ToolCallBlock`` objects of the message, never text.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import (
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    LogProb,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_rocm.conversion.quick import chat_response, completion_response, text_block
from llama_index_rocm.tool_calls import ToolCalls
from rocm_core.requests import CallReader
from rocm_core.types import StreamEvent

R = TypeVar("R", ChatResponse, CompletionResponse)


class Answer(abc.ABC, Generic[R]):
    """Collects the events of one answer, and makes responses of them.

    Args:
        reader: reads the tool calls, and checks them at the end; ``None`` without tools.
    """

    def __init__(self, reader: CallReader | None = None) -> None:
        self._reader = reader
        self._calls: ToolCalls | None = None
        self._text = ""
        self._thinking = ""
        self._logprobs: list[list[LogProb]] = []
        self._raw: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}

    @abc.abstractmethod
    def _response(self, delta: str | None, raw: dict[str, Any]) -> R:
        """Return the response for the answer so far."""

    def _ended(self, delta: str | None, raw: dict[str, Any]) -> R:
        """Return the response for the whole answer."""
        return self._response(delta, raw)

    def take(self, event: StreamEvent) -> bool:
        """Add one event; return whether it has text, reasoning or tool calls."""
        if self._reader:
            event = self._reader.read(event)
        self._text += event.text
        if event.reasoning:
            self._thinking += event.reasoning
        if event.tool_calls:
            self._calls = self._calls or ToolCalls()
            self._calls.add(event.tool_calls)
        if event.logprobs:
            self._logprobs += read_logprobs(event.logprobs)
        if event.finish_reason or event.usage:
            self._raw = event.raw
            self._facts.update(read_facts(event))
        return bool(event.text or event.reasoning or event.tool_calls)

    def add(self, event: StreamEvent) -> R | None:
        """Add one event; return its response, or ``None`` if it has no piece of the answer.

        The facts of such an event (the role, the end, a ping) are in ``last()``.
        """
        if not self.take(event):
            return None
        response = self._response(event.text, event.raw)
        if event.reasoning:
            response.additional_kwargs["thinking_delta"] = event.reasoning
        if event.logprobs:
            response.logprobs = self._logprobs[-len(event.logprobs) :]
        return response

    def last(self) -> R:
        """Return the response that ends a stream: an empty ``delta``, the whole text.

        ``raw`` has, if the server reported them: ``usage`` (``prompt_tokens``,
        ``completion_tokens``, ``total_tokens``), ``finish_reason``, ``timings``
        (milliseconds, tokens per second) and ``model``.

        Raises:
            InvalidAnswer: a required tool call is missing, or a call was cut off.
        """
        return self._end("")

    def whole(self) -> R:
        """Return the response of a call that does not stream.

        As ``last()``, with the log probabilities of all tokens, and errors as there.
        """
        response = self._end(None)
        if self._logprobs:
            response.logprobs = self._logprobs
        return response

    def _end(self, delta: str | None) -> R:
        if self._reader:
            self._reader.verify()
        return self._ended(delta, {**self._raw, **self._facts})


class ChatAnswer(Answer[ChatResponse]):
    """Makes chat responses."""

    def __init__(self, reader: CallReader | None = None) -> None:
        super().__init__(reader)
        self._thoughts = ThinkingBlock(content="")

    def _response(self, delta: str | None, raw: dict[str, Any]) -> ChatResponse:
        if self._calls is None:
            return self._with_blocks(delta, raw, [text_block(self._text)])
        calls = self._calls.blocks()
        response = self._with_calls(delta, raw, calls)
        # FunctionCallingProgram reads these before the blocks. Not in the last response, which
        # memories keep and count.
        response.message.additional_kwargs["tool_calls"] = calls
        return response

    def _ended(self, delta: str | None, raw: dict[str, Any]) -> ChatResponse:
        if self._calls is None:
            return self._response(delta, raw)
        return self._with_calls(delta, raw, self._calls.whole())

    def _with_calls(
        self, delta: str | None, raw: dict[str, Any], calls: Sequence[ToolCallBlock]
    ) -> ChatResponse:
        text = [text_block(self._text)] if self._text else []
        return self._with_blocks(delta, raw, [*text, *calls])

    def _with_blocks(
        self, delta: str | None, raw: dict[str, Any], blocks: list[ContentBlock]
    ) -> ChatResponse:
        if self._thinking:
            if self._thoughts.content != self._thinking:
                # A new block, because earlier responses keep theirs; once the model has stopped
                # thinking, all later responses share one.
                self._thoughts = ThinkingBlock(content=self._thinking)
            blocks.insert(0, self._thoughts)
        return chat_response(delta, raw, blocks)


class CompletionAnswer(Answer[CompletionResponse]):
    """Makes completion responses."""

    def _response(self, delta: str | None, raw: dict[str, Any]) -> CompletionResponse:
        response = completion_response(self._text, delta, raw)
        if self._thinking and not delta:
            response.additional_kwargs["thinking"] = self._thinking
        return response


def read_facts(event: StreamEvent) -> dict[str, Any]:
    """Return the facts of a request in an event, by the names that LlamaIndex's handlers read."""
    facts: dict[str, Any] = {}
    if event.finish_reason:
        facts["finish_reason"] = event.finish_reason
    if event.usage:
        # The native dialect has other names for the counts, and an answer of two requests counts
        # both; what else the server says is kept.
        counts = {
            "prompt_tokens": event.usage.prompt_tokens,
            "completion_tokens": event.usage.completion_tokens,
            "total_tokens": event.usage.total_tokens,
        }
        details = {"prompt_tokens_details": {"cached_tokens": event.usage.cached_tokens}}
        facts["usage"] = {**counts, **details, **(event.raw.get("usage") or {}), **counts}
    if event.timings:
        facts["timings"] = {**event.timings.as_dict(), **(event.raw.get("timings") or {})}
    if event.model:
        facts["model"] = event.model
    return facts


def read_logprobs(entries: Sequence[dict[str, Any]]) -> list[list[LogProb]]:
    """Return one list per token: the chosen token, then its alternatives, best first.

    Args:
        entries: ``StreamEvent.logprobs``, of either dialect.
    """
    return [_token_logprobs(entry) for entry in entries]


def _token_logprobs(entry: dict[str, Any]) -> list[LogProb]:
    others = entry.get("top_logprobs") or entry.get("top_probs") or []
    chosen = _logprob(entry)
    return [chosen, *(other for other in map(_logprob, others) if other.bytes != chosen.bytes)]


def _logprob(entry: dict[str, Any]) -> LogProb:
    # With post_sampling_probs the native dialect sends probabilities instead of logarithms.
    value = entry.get("logprob")
    if value is None:
        probability = entry.get("prob") or 0.0
        value = math.log(probability) if probability > 0 else -math.inf
    token = entry.get("token") or ""
    return LogProb(token=token, logprob=value, bytes=entry.get("bytes") or list(token.encode()))
