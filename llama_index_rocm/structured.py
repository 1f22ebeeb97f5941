"""Structured output: send a pydantic class as a schema, which llama-server enforces as a grammar.

    output class ─▶ ``response_format`` ─▶ chat() ─▶ JSON text ─▶ an object of the class
                                          stream_chat() ─▶ partial objects, then the whole one

The grammar lets the model write nothing else, with or without tools in its chat template, so
nothing here parses prose or falls back on another method. The model does not see the schema: it
sees your prompt, and the keys as the grammar makes it write them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from typing import Any, Generic, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    ThinkingBlock,
)
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts.base import BasePromptTemplate, PromptTemplate
from llama_index.core.tools import BaseTool
from llama_index.core.types import Model, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import Field, ValidationError

from llama_index_rocm.conversion.program_tools import corrected, program_tool
from llama_index_rocm.conversion.user_code import runs_code
from llama_index_rocm.partial_json import PartialObject
from llama_index_rocm.tool_calls import conversation
from rocm_core.adapter import read_class
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import parse_answer, schema_format

dispatcher = get_dispatcher(__name__)


class StructuredOutputLLM(FunctionCallingLLM):
    """A chat model that takes ``response_format``.

    With a ``pydantic_program_mode`` other than ``DEFAULT``, LlamaIndex's own methods are used.
    """

    structured_retries: int = Field(
        default=0,
        ge=0,
        description=(
            "How often an object that is not valid is asked for again; the model is told what was "
            "wrong. An option of the instance, and in llm_kwargs of one structured_predict."
        ),
    )

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object of ``output_cls``.

        Args:
            output_cls: a pydantic class.
            prompt: the prompt; the instance's system prompt is added.
            llm_kwargs: options of the call, and ``structured_retries``.
            prompt_args: variables of ``prompt``.

        Raises:
            InvalidAnswer: the JSON was cut off, or breaks a rule that the grammar does not hold;
                the message has field and keyword.
            RocmError: as ``chat``.
        """
        if not self._by_schema():
            result: Model = super().structured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return result
        _begins(output_cls, prompt, prompt_args)
        messages, options, retries = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        for attempt in range(retries + 1):
            try:
                result = read_object(output_cls, self.chat(messages, **options))
                break
            except InvalidAnswer as error:
                messages = corrected(messages, error, attempt < retries)
        dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """``structured_predict`` for asyncio."""
        if not self._by_schema():
            result: Model = await super().astructured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return result
        _begins(output_cls, prompt, prompt_args)
        messages, options, retries = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        for attempt in range(retries + 1):
            try:
                result = read_object(output_cls, await self.achat(messages, **options))
                break
            except InvalidAnswer as error:
                messages = corrected(messages, error, attempt < retries)
        dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if not self._by_schema():
            return super()._structured_stream_call(
                output_cls, cast(PromptTemplate, prompt), llm_kwargs, **prompt_args
            )
        messages, options, retries = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return _objects(
            lambda asked: self.stream_chat(asked, **options), output_cls, messages, retries
        )

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if not self._by_schema():
            return await super()._structured_astream_call(
                output_cls, cast(PromptTemplate, prompt), llm_kwargs, **prompt_args
            )
        messages, options, retries = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return _aobjects(
            lambda asked: self.astream_chat(asked, **options), output_cls, messages, retries
        )

    # -- FunctionCallingProgram -------------------------------------------------------------

    def predict_and_call(  # noqa: PLR0917 (the signature is LlamaIndex's)
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """Ask the model for a call, and run it.

        The tool of a ``FunctionCallingProgram`` is not run: its arguments are read as JSON, and
        asked for again as ``structured_retries`` says.

        Args:
            tools: the model may call them.
            user_msg: comes after ``chat_history``.
            chat_history: the conversation so far.
            verbose: print the call of another tool.
            allow_parallel_tool_calls: whether there may be several calls.
            error_on_no_tool_call: whether an answer without a call is an error.
            error_on_tool_error: whether an error of another tool is raised.
            kwargs: options of the call.

        Raises:
            InvalidAnswer: the call of a program does not fit its class, and ``error_on_tool_error``
                is set; else it is a source with ``is_error``.
        """
        program = program_tool(tools)
        if program is None or not self.metadata.is_function_calling_model:
            return super().predict_and_call(
                tools,
                user_msg,
                chat_history,
                verbose,
                allow_parallel_tool_calls,
                error_on_no_tool_call,
                error_on_tool_error,
                **kwargs,
            )
        retries = self._retries(kwargs)
        messages = conversation(chat_history, user_msg)
        for attempt in range(retries + 1):
            try:
                response = self.chat_with_tools(
                    [program.tool],
                    chat_history=messages,
                    allow_parallel_tool_calls=allow_parallel_tool_calls,
                    **kwargs,
                )
                calls = self.get_tool_calls_from_response(response, error_on_no_tool_call)
                last = attempt == retries
                return program.answer(calls, report=last and not error_on_tool_error)
            except InvalidAnswer as error:
                messages = corrected(messages, error, attempt < retries)
        raise AssertionError("the last attempt returns or raises")

    async def apredict_and_call(  # noqa: PLR0917
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """``predict_and_call`` for asyncio."""
        program = program_tool(tools)
        if program is None or not self.metadata.is_function_calling_model:
            return await super().apredict_and_call(
                tools,
                user_msg,
                chat_history,
                verbose,
                allow_parallel_tool_calls,
                error_on_no_tool_call,
                error_on_tool_error,
                **kwargs,
            )
        retries = self._retries(kwargs)
        messages = conversation(chat_history, user_msg)
        for attempt in range(retries + 1):
            try:
                response = await self.achat_with_tools(
                    [program.tool],
                    chat_history=messages,
                    allow_parallel_tool_calls=allow_parallel_tool_calls,
                    **kwargs,
                )
                calls = self.get_tool_calls_from_response(response, error_on_no_tool_call)
                last = attempt == retries
                return program.answer(calls, report=last and not error_on_tool_error)
            except InvalidAnswer as error:
                messages = corrected(messages, error, attempt < retries)
        raise AssertionError("the last attempt returns or raises")

    def _retries(self, options: dict[str, Any]) -> int:
        """Take ``structured_retries`` out of the options of a call; the instance's by default."""
        retries: int | None = options.pop("structured_retries", None)
        return self.structured_retries if retries is None else retries

    # -- requests ---------------------------------------------------------------------------

    def _by_schema(self) -> bool:
        return self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def _structured(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> tuple[Sequence[ChatMessage], dict[str, Any], int]:
        """Return messages, options and retries of a call."""
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        wanted = schema_format(output_cls.model_json_schema(), output_cls.__name__)
        options = dict(llm_kwargs or {})
        if "reasoning_budget" not in options:
            options = {**self._structured_defaults(), **options}
        options["response_format"] = wanted
        return messages, options, self._retries(options)

    def _structured_defaults(self) -> dict[str, Any]:
        """Options of a structured answer that neither the call nor the instance gives."""
        return {}


def _begins(
    output_cls: type[Model], prompt: BasePromptTemplate, prompt_args: dict[str, Any]
) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=prompt_args
        )
    )


# ---------------------------------------------------------------------------
# From answers to objects
# ---------------------------------------------------------------------------


def read_object(output_cls: type[Model], response: ChatResponse) -> Model:
    """Parse an answer into an object of ``output_cls``.

    Raises:
        InvalidAnswer: the answer is no JSON, or does not fit the class.
    """
    text = response.message.content or ""
    thoughts = [b.content or "" for b in response.message.blocks if isinstance(b, ThinkingBlock)]
    return read_class(output_cls, json.dumps(parse_answer(text, "".join(thoughts))))


class Growing(Generic[Model]):
    """Makes partial objects while the answer's JSON is being written.

    A partial object is of ``output_cls`` as soon as it is valid; before, of LlamaIndex's
    ``FlexibleModel`` of that class, whose fields may all be ``None``. Validators of the user's are
    written for whole values and run on the whole object alone: the partial objects of a class that
    has some are all of ``FlexibleModel``.
    """

    def __init__(self, output_cls: type[Model]) -> None:
        self._output_cls = output_cls
        self._flexible_cls = create_flexible_model(output_cls)
        self._runs_code = runs_code(output_cls)
        self._object = PartialObject()
        self._last: ChatResponse | None = None

    def add(self, response: ChatResponse) -> Model | FlexibleModel | None:
        """Add a response; return the object so far, or ``None`` if it has not changed."""
        self._last = response
        if not response.delta or not self._object.update(response.message.content or ""):
            return None
        if not self._runs_code:
            with contextlib.suppress(ValidationError):
                return self._output_cls.model_validate(self._object.value)
        return self._flexible_cls.model_validate(self._object.value)

    def whole(self) -> Model:
        """Return the whole object after the last response; errors as ``read_object``."""
        assert self._last is not None
        return read_object(self._output_cls, self._last)


def _objects(
    ask: Callable[[Sequence[ChatMessage]], ChatResponseGen],
    output_cls: type[Model],
    messages: Sequence[ChatMessage],
    retries: int,
) -> Generator[Model | FlexibleModel, None, None]:
    for attempt in range(retries + 1):
        growing = Growing(output_cls)
        try:
            with contextlib.closing(cast(Any, ask(messages))) as responses:
                for response in responses:
                    partial = growing.add(response)
                    if partial is not None:
                        yield partial
            whole = growing.whole()
        except InvalidAnswer as error:
            messages = corrected(messages, error, attempt < retries)
        else:
            yield whole
            return


async def _aobjects(
    ask: Callable[[Sequence[ChatMessage]], Awaitable[ChatResponseAsyncGen]],
    output_cls: type[Model],
    messages: Sequence[ChatMessage],
    retries: int,
) -> AsyncGenerator[Model | FlexibleModel, None]:
    for attempt in range(retries + 1):
        growing = Growing(output_cls)
        try:
            async with contextlib.aclosing(cast(Any, await ask(messages))) as responses:
                async for response in responses:
                    partial = growing.add(response)
                    if partial is not None:
                        yield partial
            whole = growing.whole()
        except InvalidAnswer as error:
            messages = corrected(messages, error, attempt < retries)
        else:
            yield whole
            return
