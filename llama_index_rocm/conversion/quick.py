"""Make the response of one piece of text without pydantic's constructors.

They take 6 µs for a response, its message and its block, more than everything else that a token
costs. A piece of text needs no validation, so its response is made as pydantic's own
``model_construct`` and ``__copy__`` do: from the values of one that was constructed.
``tests/llamaindex/test_responses.py`` compares the two.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
)
from pydantic import BaseModel

_set = object.__setattr__


def text_block(text: str) -> TextBlock:
    """Make ``TextBlock(text=text)``."""
    block = TextBlock.__new__(TextBlock)
    _finish(block, {**_BLOCK, "text": text}, {"text"})
    return block


def chat_response(
    delta: str | None, raw: dict[str, Any], blocks: list[ContentBlock]
) -> ChatResponse:
    """Make a ``ChatResponse`` of an assistant's message with ``blocks``."""
    message = ChatMessage.__new__(ChatMessage)
    own: dict[str, Any] = {"additional_kwargs": {}, "blocks": blocks}
    _finish(message, {**_MESSAGE, **own}, {"role", "blocks"})
    response = ChatResponse.__new__(ChatResponse)
    own = {"message": message, "raw": raw, "delta": delta, "additional_kwargs": {}}
    _finish(response, {**_CHAT, **own}, {"message", "delta", "raw"})
    return response


def completion_response(text: str, delta: str | None, raw: dict[str, Any]) -> CompletionResponse:
    """Make ``CompletionResponse(text=text, delta=delta, raw=raw)``."""
    response = CompletionResponse.__new__(CompletionResponse)
    own = {"text": text, "additional_kwargs": {}, "raw": raw, "delta": delta}
    _finish(response, {**_COMPLETION, **own}, {"text", "delta", "raw"})
    return response


def _finish(made: BaseModel, values: dict[str, Any], given: set[str]) -> None:
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", given)
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)


_BLOCK = dict(TextBlock(text="").__dict__)
_MESSAGE = dict(ChatMessage(role=MessageRole.ASSISTANT, blocks=[]).__dict__)
_CHAT = dict(ChatResponse(message=ChatMessage(), delta="", raw={}).__dict__)
_COMPLETION = dict(CompletionResponse(text="", delta="", raw={}).__dict__)
