"""The events of a chat request, in one step or in two.

What llama-server does not grant in one step is requested in two
(``rocm_core.adapter``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_rocm.conversion.requests import ChatRequest
from rocm_core.adapter import (
    AsyncEvents,
    Events,
    acall_or_insist,
    atools_then_format,
    call_or_insist,
    fits,
    tools_then_format,
)

if TYPE_CHECKING:
    from rocm_core import TextModel


def chat_events(model: TextModel, request: ChatRequest, max_retries: int) -> Events:
    """Return the events of the answer; nothing is sent before the first ``next()``.

    Args:
        model: who answers.
        request: what is requested.
        max_retries: of each step; see ``TextModel.events``, whose errors are raised.

    Raises:
        ConfigError: the conversation ends in tool calls.
    """
    request.refuse_unanswered()
    deadline = model.deadline(request.config)  # of both steps together

    def ask(fields: Mapping[str, Any]) -> Events:
        return model.events(request.chat(fields), max_retries=max_retries, deadline=deadline)

    first = ask(request.fields)
    if (format_ := request.schema_after) is not None:
        final = request.format_fields
        return tools_then_format(first, lambda: ask(final), lambda text: fits(text, format_))
    if (call := request.insisting) is not None:
        return call_or_insist(first, lambda: ask(request.insisting_fields(call)), call)
    return first


def achat_events(model: TextModel, request: ChatRequest, max_retries: int) -> AsyncEvents:
    """``chat_events`` for asyncio."""
    request.refuse_unanswered()
    deadline = model.deadline(request.config)

    def ask(fields: Mapping[str, Any]) -> AsyncEvents:
        return model.aevents(request.chat(fields), max_retries=max_retries, deadline=deadline)

    first = ask(request.fields)
    if (format_ := request.schema_after) is not None:
        final = request.format_fields
        return atools_then_format(first, lambda: ask(final), lambda text: fits(text, format_))
    if (call := request.insisting) is not None:
        return acall_or_insist(first, lambda: ask(request.insisting_fields(call)), call)
    return first
