"""``RocmLLM``: a LlamaIndex ``LLM`` on llama-server.

    chat(messages)                  → messages.py ─▶ /v1/chat/completions, the model's template
    complete(prompt)                → one user message, the same way
    complete(prompt, formatted=True)→ /completion, the prompt as it is
                                          │ events
                                          ▼
                        responses.py (pure) inside the loops of streams.py

    chat_with_tools(tools, …)       → tool_calls.py ─▶ chat(tools=…), and calls from the answer
    structured_predict(cls, …)      → structured.py ─▶ chat(response_format=…)

All eight methods are native: none falls back on another, and the async ones never block the
event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from llama_index.core.base.llms.generic_utils import messages_to_prompt as generic_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.llm import ToolSelection, default_completion_to_prompt
from llama_index.core.tools import BaseTool
from pydantic import Field, PrivateAttr

from llama_index_rocm.component import RocmComponent
from llama_index_rocm.conversion.requests import Request, answer_format
from llama_index_rocm.messages import to_request
from llama_index_rocm.responses import CompletionAnswer
from llama_index_rocm.streams import (
    agather,
    aobserved,
    aresponses,
    gather,
    observed,
    responses,
)
from llama_index_rocm.structured import StructuredOutputLLM
from llama_index_rocm.tool_calls import conversation, offer, only_first_call, selections
from rocm_core import Chat, Completion, GenerateConfig, LoadConfig, read_gguf, resolve_ref
from rocm_core.adapter import GenerationOptions, one_answer
from rocm_core.config import TemplateChoice, chosen_template
from rocm_core.errors import ConfigError
from rocm_core.requests import (
    call_notation,
    reasoning_fields,
    refuse_unanswered,
    schema_of,
    tool_request,
    unthinking,
)

# What LlamaIndex passes to a model's call because other models need it: llama.cpp holds a tool's
# arguments to their schema in any case; DocumentContextExtractor gives Anthropic's cache a header.
_OF_CALLS = frozenset({"strict", "extra_headers"})
# Of no meaning without tools; LlamaIndex gives them with an empty list, too.
_OF_TOOLS = ("tool_choice", "parallel_tool_calls")
_SEVERAL = "make a call for each of several"


def _knows_tools(template: str) -> bool:
    """Whether a chat template shows tools, and calls of earlier turns, be it as the model's text.

    What llama-server says of a template once it has run it is the same for all 50 templates tried
    (those of llama.cpp b11549's ``models/templates``), so that the answer does not change with the
    first request.
    """
    return "tools" in template and _knows_calls("tool_calls" in template, template)


def _knows_calls(shows: bool, template: str) -> bool:
    return shows or call_notation(template) is not None


class RocmLLM(RocmComponent, GenerationOptions, StructuredOutputLLM, CustomLLM):
    """A GGUF model on llama.cpp, or a running llama-server, as a LlamaIndex LLM.

        llm = RocmLLM(model="path/to/model.gguf", context_len=8192, temperature=0.7)
        llm.complete("Why is the sky blue?")

    The server starts at first use; ``close()`` releases it. Instances with the same model and
    load options share one. An instance may be used from any thread and any event loop.

    Options are those of ``LoadConfig`` and ``GenerateConfig`` by name; an unset one is not sent,
    so the model's own default applies. Keyword arguments of a call go over those of the
    instance, and so may the other fields of llama-server's request
    (``chat_template_kwargs={"enable_thinking": False}``, ``response_format``, ``logprobs``, …).
    Any other keyword is refused; ``extra_body={…}`` sends fields that we do not know.

    ``chat`` and ``complete`` use the model's own chat template. A ``messages_to_prompt`` or
    ``completion_to_prompt`` of yours replaces it: what it returns is sent as it is, and so is
    the prompt of ``complete(prompt, formatted=True)``.

    Tools (``chat_with_tools`` and the agents) need a model whose chat template knows tools; a
    named ``tool_choice`` forces that tool. ``structured_predict`` and ``as_structured_llm`` work
    with every model.

    Errors are those of ``rocm_core.errors``; streams raise the server's from the iterator.

    ``api_key`` is left out of ``to_dict()``: give it to ``from_dict(data, api_key=…)`` again.
    """

    reasoning: bool | str | None = Field(
        default=None,
        description=(
            "Thinking on, off, or an effort that the chat template knows, sent as the variable "
            "that it reads; unset: llama-server tells a template that can think to do so."
        ),
    )

    _of_calls: ClassVar[frozenset[str]] = frozenset({"reasoning", "reasoning_budget"})
    _of_the_framework: ClassVar[frozenset[str]] = _OF_CALLS

    # Context length and tools of the chat template, as the GGUF header tells: None unread.
    _header: tuple[int | None, bool | None] | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """The name in serialized form."""
        return "rocm_llm"

    # -- facts ------------------------------------------------------------------------------

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex sizes prompts and chooses agents by; it never asks the server.

        Of the server, once it has been used: ``context_window`` (tokens of one slot) and
        ``is_function_calling_model`` (whether its chat template shows tools, and the calls of
        earlier turns). Before, what the
        GGUF header (read once), ``context_len`` and ``chat_template`` tell; for a server
        elsewhere or a download ``context_len``, or else LlamaIndex's default of 3900, and tools.
        ``text_model.load()`` makes it exact. ``num_output`` is ``max_tokens``, or else 256.

        Reading the header blocks; after the first use there is nothing to read.
        """
        known = self._text_model is not None and self._text_model.props is not None
        if self._header is None and not known:
            ref = resolve_ref(self.base_url or self.model)
            info = read_gguf(ref.value) if ref.kind == "file" else None
            template = info.chat_template or "" if info else None
            if given := self._given_template():
                template = given.text
            knows = None if template is None else _knows_tools(template)
            self._header = (info.context_length if info else None, knows)
        return self._metadata()

    def to_payload(self) -> dict[str, Any]:
        """What events and traces may show: no secrets. No I/O."""
        return {
            "class_name": self.class_name(),
            "model": self.loaded_name(),
            "temperature": self.temperature,
            **self._metadata().model_dump(),
        }

    def _given_template(self) -> TemplateChoice | None:
        """Return the template in place of the model's; reads its file."""
        return chosen_template(
            LoadConfig(chat_template=self.chat_template, chat_template_file=self.chat_template_file)
        )

    def _metadata(self) -> LLMMetadata:
        limit = self.max_tokens
        trained, template_knows_tools = self._header or (None, None)
        if self._header is None and "{" in (text := self.chat_template or ""):
            template_knows_tools = _knows_tools(text)
        # The server never opens more context than the model was trained for.
        lengths = [length for length in (self.context_len, trained) if length]
        window, tools = min(lengths, default=DEFAULT_CONTEXT_WINDOW), template_knows_tools
        props = self._text_model.props if self._text_model else None
        if props:
            window = props.n_ctx or window
            caps = props.chat_template_caps
            if "supports_tools" in caps:
                shows = caps.get("supports_tool_calls", True)
                tools = caps["supports_tools"] and _knows_calls(shows, props.chat_template)
        return LLMMetadata(
            context_window=window,
            num_output=DEFAULT_NUM_OUTPUTS if limit is None or limit < 0 else limit,
            is_chat_model=True,
            is_function_calling_model=tools is not False,
            model_name=self.loaded_name(),
        )

    # -- chat -------------------------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The answer to a conversation.

        Args:
            messages: the conversation; never changed.
            kwargs: options of this call.

        Raises:
            ConfigError: an option is out of range, or a block is of a kind the server lacks.
            InvalidAnswer: a tool call that was asked for is missing, or was cut off.
            RocmError: any class below it.
        """
        request = self._chat_request(messages, kwargs)
        return gather(request.events(self.text_model), request.answer())

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """``chat``, piece by piece; closing the iterator frees the server's slot."""
        request = self._chat_request(messages, kwargs)
        source = responses(request.events(self.text_model), request.answer())
        return observed(llm_chat_callback, self, messages, kwargs, source)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """``chat`` for asyncio; cancelling it frees the server's slot."""
        model = await self._amodel()
        request = self._chat_request(messages, kwargs)
        return await agather(request.aevents(model), request.answer())

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """``stream_chat`` for asyncio."""
        model = await self._amodel()
        request = self._chat_request(messages, kwargs)
        source = aresponses(request.aevents(model), request.answer())
        return await aobserved(llm_chat_callback, self, messages, kwargs, source)

    # -- completion -------------------------------------------------------------------------

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The answer to a prompt; errors as ``chat``.

        Args:
            prompt: sent as one user message through the model's chat template.
            formatted: the prompt has its template already; send it as it is.
            kwargs: options of this call.
        """
        request = self._prompt_request(prompt, formatted, kwargs)
        return gather(request.events(self.text_model), CompletionAnswer())

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """``complete``, piece by piece; closing the iterator frees the server's slot."""
        events = self._prompt_request(prompt, formatted, kwargs).events(self.text_model)
        source = responses(events, CompletionAnswer())
        return observed(llm_completion_callback, self, prompt, kwargs, source)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """``complete`` for asyncio; cancelling it frees the server's slot."""
        model = await self._amodel()
        request = self._prompt_request(prompt, formatted, kwargs)
        return await agather(request.aevents(model), CompletionAnswer())

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """``stream_complete`` for asyncio."""
        model = await self._amodel()
        request = self._prompt_request(prompt, formatted, kwargs)
        source = aresponses(request.aevents(model), CompletionAnswer())
        return await aobserved(llm_completion_callback, self, prompt, kwargs, source)

    # -- tools ------------------------------------------------------------------------------

    def _prepare_chat_with_tools(  # noqa: PLR0917 (the signature is LlamaIndex's)
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        offered = offer(
            tools, tool_choice, required=tool_required, parallel=allow_parallel_tool_calls
        )
        return {"messages": conversation(chat_history, user_msg), **offered, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else only_first_call(response)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls of a response; while one is streamed, with the arguments so far.

        Without ``error_on_no_tool_call``, as agents ask, a call whose arguments are no JSON object
        comes under a name that no tool has, so that the agent tells the model and runs nothing.

        Raises:
            ValueError: there is none, and ``error_on_no_tool_call``.
            InvalidAnswer: the arguments of a call are no JSON object, and likewise.
        """
        return selections(response, some=error_on_no_tool_call)

    # -- requests ---------------------------------------------------------------------------

    def _own_prompt(self) -> bool:
        """Whether a function of the user's makes the prompt in place of the chat template."""
        return self.messages_to_prompt not in (None, generic_prompt)

    def _structured_defaults(self) -> dict[str, Any]:
        # A schema fixes the answer; a small model may think until its tokens are used up.
        return {} if self.reasoning is not None or self._own_prompt() else {"reasoning": False}

    def _chat_request(self, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Request:
        if self._own_prompt() and self.messages_to_prompt is not None:
            return self._raw_request(self.messages_to_prompt(messages), options)
        return self._template_request(to_request(messages), options)

    def _prompt_request(self, prompt: str, formatted: bool, options: Mapping[str, Any]) -> Request:
        if options.get("tools"):
            raise ConfigError("complete() returns text alone: give tools to chat(), or to an agent")
        to_prompt = self.completion_to_prompt
        if formatted:
            return self._raw_request(prompt, options)
        if to_prompt is not None and to_prompt is not default_completion_to_prompt:
            return self._raw_request(to_prompt(prompt), options)
        return self._template_request([{"role": "user", "content": prompt}], options)

    def generate_config(
        self, options: Mapping[str, Any], *, chat: bool = True
    ) -> tuple[GenerateConfig, dict[str, Any]]:
        """``GenerationOptions.generate_config``; headers of one call are refused."""
        ours = [name for name in options.get("extra_headers") or () if "anthropic" not in name]
        if ours:
            raise ConfigError(f"{ours[0]}: headers belong to the model: RocmLLM(headers=…)")
        return super().generate_config(options, chat=chat)

    def _template_request(
        self, messages: list[dict[str, Any]], options: Mapping[str, Any]
    ) -> Request:
        refuse_unanswered(messages)
        config, fields = self.generate_config(options)
        fields = one_answer(fields, _SEVERAL)
        fields |= reasoning_fields(
            fields.pop("reasoning", self.reasoning),
            fields.pop("reasoning_budget", None),
            fields.pop("chat_template_kwargs", None),
        )
        if "response_format" in fields:
            fields["response_format"] = answer_format(config, fields["response_format"])
        tools = tool_request(fields.pop("tools", None) or (), fields.pop("tool_choice", None))
        if not tools.fields:
            fields.pop("parallel_tool_calls", None)
            return Request(Chat(messages, config, fields, fit_template=True))
        after = None if tools.forced else fields.pop("response_format", None)
        fields |= tools.fields
        sent = unthinking(fields) if tools.forced else fields
        return Request(Chat(messages, config, sent, fit_template=True), tools, after)

    def _raw_request(self, prompt: str, options: Mapping[str, Any]) -> Request:
        given = dict(options)
        if given.pop("tools", None):
            raise ConfigError(
                "tools are part of the model's own chat template; your messages_to_prompt "
                "replaces it. Leave it out."
            )
        if thinking := [name for name in self._of_calls if given.get(name) is not None]:
            raise ConfigError(f"{thinking[0]} needs the chat template, and this prompt has none")
        given = {n: value for n, value in given.items() if n not in _OF_TOOLS}
        wanted = given.pop("response_format", None)
        config, fields = self.generate_config(given, chat=False)
        fields = one_answer(fields, _SEVERAL)
        wanted = answer_format(config, wanted)
        if wanted:
            config = replace(config, json_schema=schema_of(wanted))
        return Request(Completion(prompt, replace(config, extra={**config.extra, **fields})))
