"""What one chat call requests of the server. Pure.

options of the instance + options of the call ─▶ ChatRequest
ChatRequest + facts of the server             ─▶ Chat, or an error that says the remedy
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langchain_rocm.conversion.answers import tool_calls
from langchain_rocm.conversion.messages import request_messages
from rocm_core import Chat, GenerateConfig
from rocm_core.errors import ConfigError
from rocm_core.requests import (
    ToolRequest,
    insisting,
    insisting_fields,
    normalized_format,
    reasoning_fields,
    refuse_unable,
    tool_request,
    unanswered,
    unthinking,
)
from rocm_core.types import ServerProps


@dataclass(frozen=True)
class ChatRequest:
    """One chat call, until the server's facts are known.

    Attributes:
        source: LangChain's messages.
        config: how to generate.
        fields: further request fields.
        tools: the part of the request that concerns tools.
        schema_after: the response format for an answer without tool calls, if the call has
            tools and a response format: llama-server would apply it to the tool calls as well.
            Else ``None``.
        replay_reasoning: see ``ChatRocm``.
    """

    source: Sequence[BaseMessage]
    config: GenerateConfig
    fields: Mapping[str, Any]
    tools: ToolRequest
    schema_after: Mapping[str, Any] | None
    replay_reasoning: bool | None

    def messages(self, props: ServerProps) -> list[dict[str, Any]]:
        """Return the request's messages for the server with these facts.

        Raises:
            ConfigError: the template has no place for tools, or the model does not take the
                messages' images or audio.
        """
        replay = self.replay_reasoning
        if replay is None and props.chat_template_caps.get("supports_preserve_reasoning"):
            replay = True
        messages = request_messages(self.source, reasoning=replay)
        refuse_unable(messages, self.tools.fields, props)
        return messages

    def refuse_unanswered(self) -> None:
        """Raise ``ConfigError`` if the conversation ends in tool calls; it can only be counted."""
        last = self.source[-1] if self.source else None
        if isinstance(last, AIMessage) and (calls := tool_calls(last)):
            raise unanswered([call["function"]["name"] for call in calls["tool_calls"]])

    def chat(self, fields: Mapping[str, Any]) -> Callable[[ServerProps], Chat]:
        """Return the function that makes the request, with these fields, of the server's facts."""
        return lambda props: Chat(self.messages(props), self.config, fields, fit_template=True)

    @property
    def format_fields(self) -> dict[str, Any]:
        """The fields of the second request, for an answer that called no tool."""
        return {**self.fields, "tool_choice": "none", "response_format": self.schema_after}

    @property
    def insisting(self) -> ToolRequest | None:
        """The request that forces a call, if the model does not make the one that it must."""
        if not self.tools.required or self.tools.forced:
            return None
        return insisting(self.tools)

    def insisting_fields(self, call: ToolRequest) -> dict[str, Any]:
        """Return the fields of the second request, which forces ``call``, without reasoning."""
        return insisting_fields(self.fields, call)


def chat_request(
    messages: Sequence[BaseMessage], config: GenerateConfig, options: Mapping[str, Any]
) -> ChatRequest:
    """Build the request of one chat call.

    Args:
        messages: LangChain's.
        config: how to generate.
        options: the other options of the call: ``tools``, ``tool_choice``, ``response_format``,
            ``reasoning``, ``reasoning_budget``, ``replay_reasoning``, ``chat_template_kwargs``;
            any further one is a request field. ``None`` counts as not given.

    Raises:
        ConfigError: two options exclude each other, or one is not understood.
    """
    rest = {name: value for name, value in options.items() if value is not None}
    tools = tool_request(
        _openai_tools(rest.pop("tools", ())),
        rest.pop("tool_choice", None),
    )
    format_ = normalized_format(rest.pop("response_format", None))
    replay = rest.pop("replay_reasoning", None)
    if rest.get("continue_final_message"):
        # llama-server refuses both, and takes the second for given.
        rest.setdefault("add_generation_prompt", False)
    thinking = reasoning_fields(
        rest.pop("reasoning", None),
        rest.pop("reasoning_budget", None),
        rest.pop("chat_template_kwargs", None),
    )
    fields = {**rest, **thinking, **tools.fields}
    _refuse_contradictions(config, fields, tools, format_)
    both = format_ is not None and bool(tools.fields) and tools.forced is None
    if format_ is not None and not both:
        fields.setdefault("response_format", format_)
    if tools.forced:
        fields = {**unthinking(fields), "parallel_tool_calls": False}
    return ChatRequest(messages, config, fields, tools, format_ if both else None, replay)


def _refuse_contradictions(
    config: GenerateConfig,
    fields: Mapping[str, Any],
    tools: ToolRequest,
    format_: Mapping[str, Any] | None,
) -> None:
    """Raise for options that llama-server would refuse, or ignore without saying so."""
    if config.grammar is not None and (tools.fields or format_ is not None):
        raise ConfigError("a grammar excludes tools and response_format: give one of them")
    if tools.fields and (fields.get("logprobs") or config.n_probs):
        raise ConfigError("llama-server streams no logprobs beside tools: leave one of them out")
    if tools.fields and config.stop_token_ids:
        raise ConfigError(
            "stop_token_ids need logprobs, which llama-server does not stream beside tools: use "
            "stop strings"
        )


def _openai_tools(tools: Sequence[Any]) -> list[dict[str, Any]]:
    if not tools:
        return []
    from langchain_rocm.conversion.tools import openai_tool  # not at the top: most have no tools

    return [openai_tool(tool) for tool in tools]
