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
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any, Generic, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts.base import BasePromptTemplate, PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import ValidationError

from llama_index_rocm.conversion.user_code import runs_code
from llama_index_rocm.partial_json import PartialObject
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import parse_answer, schema_format

dispatcher = get_dispatcher(__name__)


class StructuredOutputLLM(FunctionCallingLLM):
    """A chat model that takes ``response_format``.

    With a ``pydantic_program_mode`` other than ``DEFAULT``, LlamaIndex's own methods are used.
    """

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
            llm_kwargs: options of the call.
            prompt_args: variables of ``prompt``.

        Raises:
            InvalidAnswer: the JSON was cut off, or breaks a rule that a grammar cannot express.
            RocmError: as ``chat``.
        """
        if not self._by_schema():
            result: Model = super().structured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return result
        _begins(output_cls, prompt, prompt_args)
        messages, options = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        result = read_object(output_cls, self.chat(messages, **options))
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
        messages, options = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        result = read_object(output_cls, await self.achat(messages, **options))
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
        messages, options = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return _objects(self.stream_chat(messages, **options), Growing(output_cls))

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
        messages, options = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return _aobjects(await self.astream_chat(messages, **options), Growing(output_cls))

    def _by_schema(self) -> bool:
        return self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def _structured(
        self,
        output_cls: type[Model],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> tuple[Sequence[ChatMessage], dict[str, Any]]:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        wanted = schema_format(output_cls.model_json_schema(), output_cls.__name__)
        options = dict(llm_kwargs or {})
        if "reasoning_budget" not in options:
            options = {**self._structured_defaults(), **options}
        return messages, {**options, "response_format": wanted}

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
    value = parse_answer(text, "".join(thoughts))
    try:
        return output_cls.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise InvalidAnswer(
            f"the answer does not fit {output_cls.__name__}: {error}", text=text
        ) from error


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
    responses: Generator[ChatResponse, None, None], growing: Growing[Model]
) -> Generator[Model | FlexibleModel, None, None]:
    with contextlib.closing(responses):
        for response in responses:
            partial = growing.add(response)
            if partial is not None:
                yield partial
    yield growing.whole()


async def _aobjects(
    responses: AsyncGenerator[ChatResponse, None], growing: Growing[Model]
) -> AsyncGenerator[Model | FlexibleModel, None]:
    async with contextlib.aclosing(responses):
        async for response in responses:
            partial = growing.add(response)
            if partial is not None:
                yield partial
    yield growing.whole()
