"""Events of a stream in, LlamaIndex responses out. Pure; serves sync and async.

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
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_rocm.tool_calls import ToolCalls
from rocm_core.requests import CallReader
from rocm_core.types import StreamEvent

R = TypeVar("R", ChatResponse, CompletionResponse)


class Answer(abc.ABC, Generic[R]):
    """One answer as it grows.

    Args:
        reader: of the tool calls that the request asks for; it checks them at the end.
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
        """The answer so far."""

    def _ended(self, delta: str | None, raw: dict[str, Any]) -> R:
        """The answer at its end."""
        return self._response(delta, raw)

    def take(self, event: StreamEvent) -> bool:
        """Add one event; whether it has a piece of the answer."""
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
        """Add one event; the response to hand on, or ``None`` if it has no piece of the answer.

        What such an event (the role, the end, a ping) says of the request is in ``last()``.
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
        """The response that ends a stream: an empty ``delta``, the whole text.

        ``raw`` has, where the server told them: ``usage`` (``prompt_tokens``,
        ``completion_tokens``, ``total_tokens``), ``finish_reason``, ``timings``
        (milliseconds, tokens per second) and ``model``.

        Raises:
            InvalidAnswer: a tool call that was asked for is missing, or was cut off.
        """
        return self._end("")

    def whole(self) -> R:
        """The response of a call that does not stream: ``last()`` with every token's logprobs."""
        response = self._end(None)
        if self._logprobs:
            response.logprobs = self._logprobs
        return response

    def _end(self, delta: str | None) -> R:
        if self._reader:
            self._reader.verify()
        return self._ended(delta, {**self._raw, **self._facts})


class ChatAnswer(Answer[ChatResponse]):
    """An answer as chat responses."""

    def __init__(self, reader: CallReader | None = None) -> None:
        super().__init__(reader)
        self._thoughts = ThinkingBlock(content="")

    def _response(self, delta: str | None, raw: dict[str, Any]) -> ChatResponse:
        if self._calls is None:
            return self._with_blocks(delta, raw, [TextBlock(text=self._text)])
        calls = self._calls.blocks()
        response = self._with_calls(delta, raw, calls)
        # Where FunctionCallingProgram looks before it reads the blocks. Not in the last response,
        # which memories keep and count.
        response.message.additional_kwargs["tool_calls"] = calls
        return response

    def _ended(self, delta: str | None, raw: dict[str, Any]) -> ChatResponse:
        if self._calls is None:
            return self._response(delta, raw)
        return self._with_calls(delta, raw, self._calls.whole())

    def _with_calls(
        self, delta: str | None, raw: dict[str, Any], calls: Sequence[ToolCallBlock]
    ) -> ChatResponse:
        text = [TextBlock(text=self._text)] if self._text else []
        return self._with_blocks(delta, raw, [*text, *calls])

    def _with_blocks(
        self, delta: str | None, raw: dict[str, Any], blocks: list[ContentBlock]
    ) -> ChatResponse:
        if self._thinking:
            if self._thoughts.content != self._thinking:
                # A new block, because the earlier responses keep theirs; once the model has
                # stopped thinking, all that follow share one.
                self._thoughts = ThinkingBlock(content=self._thinking)
            blocks.insert(0, self._thoughts)
        message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
        return ChatResponse(message=message, delta=delta, raw=raw)


class CompletionAnswer(Answer[CompletionResponse]):
    """An answer as completion responses."""

    def _response(self, delta: str | None, raw: dict[str, Any]) -> CompletionResponse:
        response = CompletionResponse(text=self._text, delta=delta, raw=raw)
        if self._thinking and not delta:
            response.additional_kwargs["thinking"] = self._thinking
        return response


def read_facts(event: StreamEvent) -> dict[str, Any]:
    """What an event says of its request, by the names that LlamaIndex's handlers look for."""
    facts: dict[str, Any] = {}
    if event.finish_reason:
        facts["finish_reason"] = event.finish_reason
    if event.usage:
        # The native dialect counts under other names; what the server says itself wins.
        facts["usage"] = {
            "prompt_tokens": event.usage.prompt_tokens,
            "completion_tokens": event.usage.completion_tokens,
            "total_tokens": event.usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": event.usage.cached_tokens},
            **(event.raw.get("usage") or {}),
        }
    if event.timings:
        facts["timings"] = {**event.timings.as_dict(), **(event.raw.get("timings") or {})}
    if event.model:
        facts["model"] = event.model
    return facts


def read_logprobs(entries: Sequence[dict[str, Any]]) -> list[list[LogProb]]:
    """One list per token: the token that was chosen, then its alternatives, best first."""
    return [_token_logprobs(entry) for entry in entries]


def _token_logprobs(entry: dict[str, Any]) -> list[LogProb]:
    others = entry.get("top_logprobs") or entry.get("top_probs") or []
    chosen = _logprob(entry)
    return [chosen, *(other for other in map(_logprob, others) if other.bytes != chosen.bytes)]


def _logprob(entry: dict[str, Any]) -> LogProb:
    # With post_sampling_probs the native dialect tells probabilities instead of logarithms.
    value = entry.get("logprob")
    if value is None:
        probability = entry.get("prob") or 0.0
        value = math.log(probability) if probability > 0 else -math.inf
    token = entry.get("token") or ""
    return LogProb(token=token, logprob=value, bytes=entry.get("bytes") or list(token.encode()))
