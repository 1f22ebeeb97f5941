"""What one call requests of the server, and what the answer must have.

messages, options ─llm.py─▶ Request ─TextModel.events─▶ events ─streams.py─▶ responses
                                    └─ a second request, for a call that must be made, or for an
                                       answer without calls that must have a format
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llama_index_rocm.responses import ChatAnswer
from rocm_core import Chat, Completion, GenerateConfig, TextModel
from rocm_core.adapter import (
    AsyncEvents,
    Events,
    acall_or_insist,
    atools_then_format,
    call_or_insist,
    fits,
    tools_then_format,
)
from rocm_core.errors import ConfigError
from rocm_core.requests import (
    CallReader,
    ToolRequest,
    insisting,
    insisting_fields,
    normalized_format,
    refuse_unable,
)
from rocm_core.types import ServerProps


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the model, and what its answer may have.

    Attributes:
        generation: the request.
        tools: whose calls the answer may have.
        schema_after: the response format of an answer without calls, if the request has tools:
            llama-server would hold the calls to it as well.
    """

    generation: Chat | Completion
    tools: ToolRequest | None = None
    schema_after: Mapping[str, Any] | None = None

    def answer(self) -> ChatAnswer:
        """Return what reads the events as those of a chat."""
        return ChatAnswer(CallReader(self.tools) if self.tools else None)

    def events(self, model: TextModel) -> Events:
        """Return the events of the answer; nothing is sent before the first ``next()``.

        Raises:
            ConfigError: from the iterator, before anything is generated: the model has no place
                for tools, or takes no images or audio.
            RocmError: from the iterator, as ``TextModel.events``.
        """
        if not isinstance(self.generation, Chat):
            return model.events(self.generation)
        chat = self.generation
        if (format_ := self.schema_after) is not None:
            return _formatted(model, chat, format_)
        if (call := self._insisting()) is None:
            return model.events(_checked(chat, chat.fields))
        return _called(model, chat, call)

    def aevents(self, model: TextModel) -> AsyncEvents:
        """``events`` for asyncio."""
        if not isinstance(self.generation, Chat):
            return model.aevents(self.generation)
        chat = self.generation
        if (format_ := self.schema_after) is not None:
            return _aformatted(model, chat, format_)
        if (call := self._insisting()) is None:
            return model.aevents(_checked(chat, chat.fields))
        return _acalled(model, chat, call)

    def _insisting(self) -> ToolRequest | None:
        """The request that forces a call, if the model does not make the one that it must."""
        if self.tools is None or not self.tools.required or self.tools.forced:
            return None
        return insisting(self.tools)


def _called(model: TextModel, chat: Chat, call: ToolRequest) -> Events:
    deadline = model.deadline(chat.config)  # of both requests together
    first, second = _checked(chat, chat.fields), _checked(chat, insisting_fields(chat.fields, call))
    yield from call_or_insist(
        model.events(first, deadline=deadline),
        lambda: model.events(second, deadline=deadline),
        call,
    )


async def _acalled(model: TextModel, chat: Chat, call: ToolRequest) -> AsyncEvents:
    deadline = model.deadline(chat.config)
    first, second = _checked(chat, chat.fields), _checked(chat, insisting_fields(chat.fields, call))
    events = acall_or_insist(
        model.aevents(first, deadline=deadline),
        lambda: model.aevents(second, deadline=deadline),
        call,
    )
    async with contextlib.aclosing(events):
        async for event in events:
            yield event


def _formatted(model: TextModel, chat: Chat, format_: Mapping[str, Any]) -> Events:
    deadline = model.deadline(chat.config)
    first, second = _checked(chat, chat.fields), _checked(chat, _with_format(chat, format_))
    yield from tools_then_format(
        model.events(first, deadline=deadline),
        lambda: model.events(second, deadline=deadline),
        lambda text: fits(text, format_),
    )


async def _aformatted(model: TextModel, chat: Chat, format_: Mapping[str, Any]) -> AsyncEvents:
    deadline = model.deadline(chat.config)
    first, second = _checked(chat, chat.fields), _checked(chat, _with_format(chat, format_))
    events = atools_then_format(
        model.aevents(first, deadline=deadline),
        lambda: model.aevents(second, deadline=deadline),
        lambda text: fits(text, format_),
    )
    async with contextlib.aclosing(events):
        async for event in events:
            yield event


def _with_format(chat: Chat, format_: Mapping[str, Any]) -> dict[str, Any]:
    return {**chat.fields, "tool_choice": "none", "response_format": format_}


def _checked(chat: Chat, fields: Mapping[str, Any]) -> Callable[[ServerProps], Chat]:
    """Return the function that makes the request, with these fields, of the server's facts."""

    def made(props: ServerProps) -> Chat:
        refuse_unable(chat.messages, fields, props)
        return replace(chat, fields=fields)

    return made


def answer_format(config: GenerateConfig, given: Any) -> dict[str, Any] | None:
    """Return a ``response_format`` as the server enforces it; ``None`` for ``None``.

    Raises:
        ConfigError: ``given`` is not understood, or there is a grammar besides.
    """
    wanted = normalized_format(given)
    if wanted and (config.grammar or config.json_schema):
        raise ConfigError("give response_format (or an output class), or grammar, not both")
    return wanted
