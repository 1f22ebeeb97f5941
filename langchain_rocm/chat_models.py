"""The chat model.

    messages, options ─requests.py─▶ ChatRequest ─TextModel.events─▶ events
                                        ├─chunks.py────▶ chunks    stream, invoke, batch
                                        └─protocol.py──▶ events    stream_events, LangGraph

``invoke`` streams as well and adds the chunks up, so that cancelling it, or Ctrl-C, frees the
server's slot at once. Sync and async differ only in the loop over the events.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field, model_validator
from typing_extensions import Self, override

import langchain_rocm.conversion.blocks  # registers our content blocks  # noqa: F401
from langchain_rocm.conversion.chat_fields import CHAT_FIELDS, ChatFields
from langchain_rocm.conversion.requests import ChatRequest, chat_request
from langchain_rocm.errors import model_errors
from langchain_rocm.options import VERSION, LangChainOptions
from langchain_rocm.profile import ProfiledModel
from langchain_rocm.streaming.chunks import ChatChunks
from langchain_rocm.streaming.driver import StreamDriver
from langchain_rocm.streaming.interrupts import interruptible
from langchain_rocm.streaming.protocol import Event, ProtocolEvents
from langchain_rocm.streaming.request_stream import achat_events, chat_events
from langchain_rocm.streaming.several import SeveralAnswers, achat_results, chat_results
from rocm_core import StreamEvent
from rocm_core.requests import CallReader, dated, tool_request

# Tools and structured output are imported by the methods that need them: they take as long as the
# rest of this module, and most programs have neither.
if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from langchain_rocm.structured import Method

    Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool


class ChatRocm(StreamDriver, ProfiledModel, ChatFields, LangChainOptions, BaseChatModel):
    """A chat model on llama.cpp: your AMD card, your CPU, or a running server.

        chat = ChatRocm(model="path/to/model.gguf", temperature=0.7)
        chat.invoke("Hello").text

    Options are those of ``rocm_core.LoadConfig`` (how to load) and ``GenerateConfig`` (how to
    generate), flat; what is not given is not sent, so the server's and the model's own defaults
    apply. Options of one call go over them, as do the other fields of llama-server's request:
    ``chat.invoke(…, top_k=1, lora=[{"id": 0, "scale": 0.5}])``. Any other keyword is refused;
    ``extra_body={…}`` sends fields that we do not know.

    The server starts at first use; instances with the same model and load options share one.
    ``close()`` releases it.

    Every answer has ``usage_metadata``, and in ``response_metadata`` ``model_name``,
    ``model_provider`` (``"rocm"``), ``finish_reason`` (with langchain-core 1.8.4 also its standard
    form) and ``timings``: llama-server's own and ``first_token_ms``.

    Raises:
        pydantic.ValidationError: an option is unknown or does not fit.
        langchain_rocm.errors: every other error, in LangChain's ``ModelError`` family.
    """

    streaming: bool = Field(
        default=False,
        description=(
            "True: invoke reports its tokens to callbacks. False, when given: stream yields the "
            "whole answer at once."
        ),
    )

    @model_validator(mode="after")
    def _set_rocm_version(self) -> Self:
        self._add_version("llama-rocm", VERSION)
        self._set_lazy_profile()
        return self

    _of_calls: ClassVar[frozenset[str]] = frozenset(CHAT_FIELDS)

    # -- identity ---------------------------------------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "rocm-chat"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._tracing_params("chat", stop, kwargs)

    # -- counting ---------------------------------------------------------------------------

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of ``text``, from the model's own tokenizer; no special tokens are added."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with model_errors():
            return self.text_model.tokenize(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Tool] | None = None
    ) -> int:
        """Tokens of the prompt that these messages make, by the server's template and tokenizer.

        Of a piece of a conversation, as ``trim_messages`` cuts them, a call is counted with an
        empty result, a result with an empty call.
        """
        with model_errors():
            request = self._request(messages, None, {"tools": list(tools or ())})
            sent = dated(request.fields, request.config.template_date)
            counted = {k: v for k, v in sent.items() if k in _COUNTED}
            return self.text_model.count_tokens(request.messages, fit_template=True, **counted)

    # -- tools and structured output --------------------------------------------------------

    @override
    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools.

        Args:
            tools: functions, ``BaseTool``s, pydantic classes, or dicts in OpenAI's form.
            tool_choice: ``"auto"``; ``"none"``; ``"any"``, ``"required"`` or ``True``: at least
                one call; a tool's name, or a dict with it: a call of this tool and nothing else.
            strict: accepted; llama.cpp holds arguments to their schema in any case.
            kwargs: further options of the calls (``parallel_tool_calls``, ``response_format``…).

        Raises:
            ConfigError: ``tool_choice`` names none of the tools, or the arguments of one are no
                object.
        """
        from langchain_rocm.conversion.tools import openai_tool

        formatted = [openai_tool(tool, strict) for tool in tools]
        with model_errors():
            tool_request(formatted, tool_choice)
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        if formatted:
            kwargs["tools"] = formatted
        return self.bind(**kwargs)

    @override
    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        retries: int = 0,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model, answering with values of ``schema``.

        Args:
            schema: a pydantic class (v1 or v2), a dataclass, an ``Enum`` or any type that
                pydantic knows (answers are instances); a ``TypedDict``, a function spec (answers
                are dicts), or any JSON schema. ``None``, with ``"json_mode"`` only: any JSON
                object.
            method: what the model sees. ``"json_schema"`` and ``"json_mode"``: the conversation
                alone; ``"function_calling"``: the schema as a tool. The schema is enforced as a
                grammar, and the answer validated, with each.
            include_raw: answer with ``{"raw": …, "parsed": …, "parsing_error": …}``.
            strict: as in OpenAI's schemas; no other properties than those named.
            retries: how often an invalid answer is asked for again; the model is told what was
                wrong. A stream then yields the growing values of each attempt in turn.
            kwargs: further options of the calls. The model does not think first, unless
                ``reasoning`` is given here or was given to the model.

        Raises:
            ValueError: the method is unknown, there is no schema, or it is none.
        """
        from langchain_rocm.retries import Retrying
        from langchain_rocm.structured import (
            METHODS,
            StructuredParser,
            format_of,
            structured,
            tool_of,
            traced,
        )

        if method not in METHODS:
            raise ValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
        if schema is None and method != "json_mode":
            raise ValueError(f"method {method!r} needs a schema")
        if self.reasoning is None:
            kwargs.setdefault("reasoning", False)
        kwargs["ls_structured_output_format"] = {
            "kwargs": {"method": method, "strict": strict},
            "schema": schema if schema is None else traced(schema),
        }
        from_call = method == "function_calling"
        parser = StructuredParser(target=schema, from_call=from_call, strict=strict)
        if from_call:
            tool = tool_of(schema, strict)
            llm = self.bind_tools([tool], tool_choice=tool["function"]["name"], **kwargs)
        else:
            llm = self.bind(response_format=format_of(schema, strict), **kwargs)
        answer = structured(llm, parser, include_raw)
        return Retrying(answer, retries) if retries else answer

    # -- one request ------------------------------------------------------------------------

    def _request(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        options: dict[str, Any],
        *,
        several: bool = False,
    ) -> ChatRequest:
        """The request, checked as far as it can be without the server."""
        config, fields = self._settings(stop, options, several=several)
        own = {name: getattr(self, name) for name in CHAT_FIELDS}
        given = fields.pop("chat_template_kwargs", None) or {}
        variables = {**self.chat_template_kwargs, **given}
        return chat_request(messages, config, {**own, **fields, "chat_template_kwargs": variables})

    def _chunk_reader(self, request: ChatRequest) -> ChatChunks:
        return ChatChunks(
            self.loaded_name(),
            calls=CallReader(request.tools) if request.tools.fields else None,
            logprobs=bool(request.fields.get("logprobs") or request.config.n_probs),
            blocks=self.output_version == "v1",
        )

    def _event_reader(self, request: ChatRequest, run_manager: Any) -> ProtocolEvents:
        return ProtocolEvents(
            self.loaded_name(),
            f"lc_run--{run_manager.run_id}" if run_manager else "",
            calls=CallReader(request.tools) if request.tools.fields else None,
        )

    # -- chunks -----------------------------------------------------------------------------

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # LangChain itself tells the callbacks of every chunk: run_manager is not needed.
        began = time.perf_counter()
        with model_errors():
            request = self._request(messages, stop, kwargs)
            with closing(chat_events(self.text_model, request, self.max_retries)) as events:
                event = next(events, StreamEvent())
                reader = self._chunk_reader(request)
                reader.ending.first_token_ms = 1000 * (time.perf_counter() - began)
                yield from reader.read(event)
                for event in events:
                    yield from reader.read(event)
            yield reader.last()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        began = time.perf_counter()
        with model_errors():
            model = await self._amodel()
            request = self._request(messages, stop, kwargs)
            stream = achat_events(model, request, self.max_retries)
            async with aclosing(stream) as events:
                event = await anext(events, StreamEvent())
                reader = self._chunk_reader(request)
                reader.ending.first_token_ms = 1000 * (time.perf_counter() - began)
                for chunk in reader.read(event):
                    yield chunk
                async for event in events:
                    for chunk in reader.read(event):
                        yield chunk
            yield reader.last()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if (count := self._answers(kwargs)) == 1:
            return super()._generate(messages, stop, run_manager, **kwargs)
        with model_errors():
            request = self._request(messages, stop, kwargs, several=True)
            answers = SeveralAnswers(count, partial(self._chunk_reader, request))
            return chat_results(self.text_model, request, self.max_retries, answers)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if (count := self._answers(kwargs)) == 1:
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        with model_errors():
            model = await self._amodel()
            request = self._request(messages, stop, kwargs, several=True)
            answers = SeveralAnswers(count, partial(self._chunk_reader, request))
            return await achat_results(model, request, self.max_retries, answers)

    @override
    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: Any = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """An answer for each input, as many at once as the server has slots or ``config`` says.

        Ctrl-C breaks all of them off.
        """
        run = partial(super().batch, return_exceptions=return_exceptions, **kwargs)
        return interruptible(run, inputs, config)

    # -- protocol events --------------------------------------------------------------------

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[Event]:
        began = time.perf_counter()
        with model_errors():
            request = self._request(messages, stop, kwargs)
            with closing(chat_events(self.text_model, request, self.max_retries)) as events:
                event = next(events, StreamEvent())
                reader = self._event_reader(request, run_manager)
                reader.ending.first_token_ms = 1000 * (time.perf_counter() - began)
                yield reader.start()
                yield from reader.read(event)
                for event in events:
                    yield from reader.read(event)
            yield from reader.last()

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Event]:
        began = time.perf_counter()
        with model_errors():
            model = await self._amodel()
            request = self._request(messages, stop, kwargs)
            stream = achat_events(model, request, self.max_retries)
            async with aclosing(stream) as events:
                event = await anext(events, StreamEvent())
                reader = self._event_reader(request, run_manager)
                reader.ending.first_token_ms = 1000 * (time.perf_counter() - began)
                yield reader.start()
                for made in reader.read(event):
                    yield made
                async for event in events:
                    for made in reader.read(event):
                        yield made
            for made in reader.last():
                yield made


# Request fields that the chat template sees.
_COUNTED = frozenset(
    {"tools", "tool_choice", "chat_template_kwargs", "reasoning_effort"}
    | {"add_generation_prompt", "continue_final_message"}
)
