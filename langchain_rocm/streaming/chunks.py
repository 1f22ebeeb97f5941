"""Turn the events of a generation stream into LangChain's chunks. Pure; one object per token.

    role delta                  → nothing
    text                        → chunk with ``content``
    reasoning                   → chunk with ``additional_kwargs["reasoning_content"]``
    tool call deltas            → chunk with ``tool_call_chunks``
    finish reason, usage, timings, in one event or in several
                                → kept; ``last()`` puts them into the last chunk, exactly once

A chunk has one kind of content only, because LangChain's event bridge starts a new block where the
kind changes. Facts of the whole answer are in the last chunk only, because adding chunks
concatenates strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from langchain_core.messages import AIMessageChunk, UsageMetadata
from langchain_core.messages.ai import InputTokenDetails
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk

from langchain_rocm.streaming.tool_chunks import ToolChunk
from rocm_core import StreamEvent, Timings, ToolCallDelta, Usage
from rocm_core.requests import CallReader

PROVIDER = "rocm"
STANDARD_REASONS = find_spec("langchain_core.language_models._finish_reason") is not None
"""Whether this langchain-core (since 1.8.4) reads standard finish reasons."""

# llama-server's reasons (``to_json_oaicompat_chat`` in ``tools/server/server-task.cpp``) in
# LangChain's words. A server that is no llama-server may send others, for which there is none.
_NORMALIZED = {"stop": "stop", "length": "length", "tool_calls": "tool_call"}
# The words of OpenAI's Responses API: LangChain's are in no released package that says them.
_STATES = {"stop": "completed", "tool_call": "completed", "length": "incomplete"}


def finish_fields(reason: str, *, calls: bool = False) -> dict[str, str]:
    """Return the finish reason of an answer, and what standard fields say of it.

    Args:
        reason: as the server sent it.
        calls: whether the answer calls tools: the call of a named tool ends with ``stop``.

    Returns:
        ``finish_reason``; with a langchain-core that reads them, and for a reason that is known,
        also ``normalized_finish_reason`` (``stop``, ``length``, ``tool_call``) and
        ``finish_state`` (``completed``, ``incomplete``).
    """
    fields = {"finish_reason": reason}
    normalized = _NORMALIZED.get(reason) if STANDARD_REASONS else None
    if normalized is None:
        return fields
    if normalized == "stop" and calls:
        normalized = "tool_call"
    return {
        **fields,
        "normalized_finish_reason": normalized,
        "finish_state": _STATES[normalized],
    }


class Ending:
    """Collects the facts of the whole answer, which arrive in several of the last events.

    Attributes:
        first_token_ms: milliseconds from the call to the first event, start, queue and prefill
            included; ``None`` if not measured.
        calls: whether the answer calls tools.
    """

    def __init__(self, model_name: str) -> None:
        """``model_name``: used until the stream names the model."""
        self.first_token_ms: float | None = None
        self.calls = False
        self._model = model_name
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._timings: Timings | None = None

    def note(self, event: StreamEvent) -> None:
        """Keep the facts that ``event`` carries."""
        self._model = event.model or self._model
        self._finish_reason = event.finish_reason or self._finish_reason
        self._usage = event.usage or self._usage
        self._timings = event.timings or self._timings

    def metadata(self) -> dict[str, Any]:
        """Return ``model_name``, ``model_provider`` and, if known, finish reason and ``timings``.

        ``timings`` are llama-server's, and ``first_token_ms`` if measured.
        """
        facts: dict[str, Any] = {"model_name": self._model, "model_provider": PROVIDER}
        facts |= self.finish_fields()
        if self._timings:
            facts["timings"] = self._timings.as_dict()
            if self.first_token_ms is not None:
                facts["timings"]["first_token_ms"] = self.first_token_ms
        return facts

    def finish_fields(self) -> dict[str, str]:
        """Return the fields of the finish reason; empty if the server told none."""
        reason = self._finish_reason
        return finish_fields(reason, calls=self.calls) if reason else {}

    def usage(self) -> UsageMetadata | None:
        """Return the token counts; ``cache_read`` are prompt tokens from the KV cache.

        ``None`` if the server reported none.
        """
        if self._usage is None:
            return None
        return UsageMetadata(
            input_tokens=self._usage.prompt_tokens,
            output_tokens=self._usage.completion_tokens,
            total_tokens=self._usage.total_tokens,
            input_token_details=InputTokenDetails(cache_read=self._usage.cached_tokens),
        )


class ChatChunks:
    """Makes the chunks of one chat answer.

    Attributes:
        ending: facts of the whole answer.
    """

    def __init__(
        self,
        model_name: str,
        *,
        calls: CallReader | None = None,
        logprobs: bool = False,
        blocks: bool = False,
    ) -> None:
        """Args:
        model_name: used until the stream names the model.
        calls: reads the tool calls, if the request has tools.
        logprobs: whether the request asks for log probabilities; they go into the chunks.
        blocks: whether LangChain reads each chunk's content blocks (``output_version`` v1);
            then each chunk names the provider.
        """
        self.ending = Ending(model_name)
        self._calls = calls
        self._class = AIMessageChunk if calls is None else ToolChunk
        self._logprobs = logprobs
        self._blocks = blocks
        self._rare = logprobs or blocks or calls is not None

    def read(self, event: StreamEvent) -> Sequence[ChatGenerationChunk]:
        """Return the chunks of one event, nearly always one."""
        if event.finish_reason or event.usage or event.timings:
            self.ending.note(event)
        if event.reasoning or event.tool_calls or self._rare:
            return self._read_rare(event)
        return (_chunk(event.text, {}),) if event.text else ()

    def _read_rare(self, event: StreamEvent) -> list[ChatGenerationChunk]:
        if self._calls is not None:
            self.ending.note(event := self._calls.read(event))
        chunks = []
        if event.reasoning:
            chunks.append(_chunk("", {"reasoning_content": event.reasoning}, self._class))
        if event.text:
            chunks.append(_chunk(event.text, {}, self._class))
        if event.tool_calls:
            self.ending.calls = True
            calls = [_tool_call(call) for call in event.tool_calls]
            message = ToolChunk(content="", tool_call_chunks=calls)
            chunks.append(ChatGenerationChunk(message=message))
        if self._logprobs and event.logprobs:
            chunks = chunks or [_chunk("", {}, self._class)]
            chunks[-1].generation_info = {"logprobs": {"content": event.logprobs}}
        if self._blocks:
            for chunk in chunks:
                chunk.message.response_metadata["model_provider"] = PROVIDER
        return chunks

    def last(self) -> ChatGenerationChunk:
        """Return the last chunk: empty content, all metadata, ``chunk_position="last"``.

        Raises:
            InvalidAnswer: a tool call that the request requires is missing or cut off.
        """
        if self._calls is not None:
            self._calls.verify()
        metadata = self.ending.metadata()
        message = AIMessageChunk(
            content="",
            usage_metadata=self.ending.usage(),
            response_metadata=metadata,
            chunk_position="last",
        )
        reason = metadata.get("finish_reason")
        return ChatGenerationChunk(
            message=message, generation_info={"finish_reason": reason} if reason else None
        )


class TextChunks:
    """Makes the chunks of one raw completion.

    Attributes:
        ending: facts of the whole answer.
    """

    def __init__(self, model_name: str) -> None:
        self.ending = Ending(model_name)

    def read(self, event: StreamEvent) -> Sequence[GenerationChunk]:
        """Return the chunk of one event, or nothing if it has no text and no probabilities."""
        if event.finish_reason or event.usage or event.timings:
            self.ending.note(event)
        if event.logprobs:
            info = {"logprobs": {"content": event.logprobs}}
            return (GenerationChunk(text=event.text, generation_info=info),)
        return (GenerationChunk(text=event.text),) if event.text else ()

    def last(self) -> GenerationChunk:
        """Return the last chunk: no text; metadata and ``usage`` in ``generation_info``."""
        usage = self.ending.usage()
        info = self.ending.metadata() | ({"usage": usage} if usage else {})
        return GenerationChunk(text="", generation_info=info)


def _tool_call(call: ToolCallDelta) -> ToolCallChunk:
    return tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index)


# ---------------------------------------------------------------------------
# The object per token
# ---------------------------------------------------------------------------
#
# Pydantic's constructors take 8 µs for a chunk and its message, more than everything else that a
# token costs. A piece of text needs no validation, so we make its chunk as pydantic's own
# ``model_construct`` and ``__copy__`` do, from the values of an empty one (3 µs).
# ``tests/langchain/test_chunks.py`` compares it with a constructed one.

_set = object.__setattr__
_EMPTY_MESSAGE = AIMessageChunk(content="")
_CONTAINERS = [
    (name, type(value))
    for name, value in _EMPTY_MESSAGE.__dict__.items()
    if isinstance(value, (dict, list, set))
]
_VALUES = {k: v for k, v in _EMPTY_MESSAGE.__dict__.items() if k not in dict(_CONTAINERS)}
_GENERATION_VALUES = dict(ChatGenerationChunk(message=_EMPTY_MESSAGE).__dict__)


def _chunk(
    text: str, additional_kwargs: dict[str, Any], cls: type[AIMessageChunk] = AIMessageChunk
) -> ChatGenerationChunk:
    """Make ``ChatGenerationChunk(message=cls(text, additional_kwargs=…))``, fast."""
    fields = _VALUES.copy()
    for name, container in _CONTAINERS:
        fields[name] = container()
    fields["content"] = text
    fields["additional_kwargs"] = additional_kwargs
    message = cls.__new__(cls)
    _set(message, "__dict__", fields)
    _set(message, "__pydantic_fields_set__", {"content", "additional_kwargs"})
    _set(message, "__pydantic_extra__", {})
    _set(message, "__pydantic_private__", None)
    chunk = ChatGenerationChunk.__new__(ChatGenerationChunk)
    _set(chunk, "__dict__", {**_GENERATION_VALUES, "text": text, "message": message})
    _set(chunk, "__pydantic_fields_set__", {"text", "message"})
    _set(chunk, "__pydantic_extra__", None)
    _set(chunk, "__pydantic_private__", None)
    return chunk
