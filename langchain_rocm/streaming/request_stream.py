"""A chat request on its way: the first event of the answer, and the stream to read on.

The server is started if need be, the messages are fitted to its template, and what it does not
grant in one step is asked for in two (``langchain_rocm.streaming.followup_request``).
"""

from __future__ import annotations

from typing import Any

from langchain_rocm.conversion.requests import ChatRequest
from langchain_rocm.options import AsyncEvents, Events, abegin, begin
from langchain_rocm.streaming.followup_request import (
    acall_or_insist,
    atools_then_format,
    call_or_insist,
    tools_then_format,
)
from langchain_rocm.structured import fits
from rocm_core import StreamEvent, TextModel


def opened(model: TextModel, request: ChatRequest, max_retries: int) -> tuple[StreamEvent, Events]:
    """The first event, and the rest.

    Raises:
        RocmError: the request cannot be sent, or failed ``max_retries`` + 1 times.
    """

    def open_stream() -> Events:
        sent = model.template.fit(request.messages(model.connection.ready()))

        def ask(fields: Any) -> Events:
            return model.chat_events(sent, request.config, **fields)

        first = ask(request.fields)
        if (format_ := request.schema_after) is not None:
            final = request.format_fields
            return tools_then_format(first, lambda: ask(final), lambda text: fits(text, format_))
        if (call := request.insisting) is not None:
            return call_or_insist(first, lambda: ask(request.insisting_fields(call)), call)
        return first

    return begin(open_stream, max_retries)


async def aopened(
    model: TextModel, request: ChatRequest, max_retries: int
) -> tuple[StreamEvent, AsyncEvents]:
    """``opened`` for asyncio."""

    async def open_stream() -> AsyncEvents:
        sent = await model.template.afit(request.messages(await model.connection.aready()))

        def ask(fields: Any) -> AsyncEvents:
            return model.achat_events(sent, request.config, **fields)

        first = ask(request.fields)
        if (format_ := request.schema_after) is not None:
            final = request.format_fields
            return atools_then_format(first, lambda: ask(final), lambda text: fits(text, format_))
        if (call := request.insisting) is not None:
            return acall_or_insist(first, lambda: ask(request.insisting_fields(call)), call)
        return first

    return await abegin(open_stream, max_retries)
