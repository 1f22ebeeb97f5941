"""Structured output: send a schema, parse and validate the answer.

llama-server enforces the schema as a grammar with every method. We validate the answer all the
same, because a server that cannot compile a schema may answer without one.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any, Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.json import parse_partial_json

from langchain_rocm.conversion.answers import reasoning_of
from langchain_rocm.conversion.schemas import Wanted, wanted
from langchain_rocm.conversion.tools import spec
from langchain_rocm.errors import model_errors
from rocm_core.adapter import misfit
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import VALUE, as_arguments, parse_answer, schema_format

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS = ("json_schema", "function_calling", "json_mode")


def json_schema_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return the JSON schema of ``schema``; errors as ``wanted``."""
    return wanted(schema, strict).schema


def format_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return the ``response_format`` that enforces ``schema``; ``None`` allows any object.

    Raises:
        ValueError: as ``wanted``.
    """
    found = wanted(schema, strict)
    format_ = schema_format(found.schema, found.name)
    if strict is not None:
        format_["json_schema"]["strict"] = strict
    return format_


def tool_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return the tool whose arguments are a value of ``schema``.

    Raises:
        ValueError: as ``wanted``.
    """
    found = wanted(schema, strict)
    arguments, _ = as_arguments(found.schema)
    # Only a text of these characters is a name to every chat template and parser.
    return spec(re.sub(r"[^a-zA-Z0-9_-]", "_", found.name), found.description, arguments, strict)


def traced(schema: Any) -> dict[str, Any]:
    """Return ``schema`` for tracers: as a tool, of which LangChain makes a schema again."""
    if not isinstance(schema, Mapping):
        return tool_of(schema)
    found = wanted(schema)
    parameters = {k: v for k, v in found.schema.items() if k not in ("title", "description")}
    function = {"name": found.name, "description": found.description, "parameters": parameters}
    return {"type": "function", "function": {k: v for k, v in function.items() if v != ""}}


_NOTHING = object()


class StructuredParser(BaseCumulativeTransformOutputParser[Any]):
    """Parses an answer, or the arguments of its first tool call, into a validated value.

    The value is an instance for a class, and what the JSON says for any other schema. A stream
    yields growing dicts or lists; for a class only the one instance at the end.
    """

    target: Any
    """The schema as the user gave it; ``None`` for any JSON object."""
    from_call: bool = False
    """Read the first tool call instead of the text."""
    strict: bool | None = None
    """As in OpenAI's schemas."""

    @property
    def _type(self) -> str:
        return "rocm-structured"

    @cached_property
    def _wanted(self) -> Wanted:
        return wanted(self.target, self.strict)

    @cached_property
    def _wrapped(self) -> bool:
        return self.from_call and as_arguments(self._wanted.schema)[1]

    def parse(self, text: str) -> Any:
        """Parse and validate ``text``.

        Raises:
            langchain_rocm.errors.InvalidAnswer: it is no JSON, or does not match the schema.
        """
        with model_errors():
            return self._validated(parse_answer(text))

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse and validate a model's answer.

        Args:
            result: generations; the first one counts.
            partial: whether the answer may be incomplete: then return its dict so far, not
                validated, or ``None``.

        Raises:
            langchain_rocm.errors.InvalidAnswer: the answer is no JSON, has no tool call, or does
                not match the schema; never with ``partial``.
        """
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        if partial:
            return self._partial(message)
        with model_errors():
            if not isinstance(message, AIMessage):
                return self._validated(parse_answer(generation.text))
            if self.from_call:
                return self._validated(self._arguments(message))
            return self._validated(parse_answer(message.text, reasoning_of(message)))

    def _partial(self, message: BaseMessage | None) -> Any:
        if not self._wanted.grows or not isinstance(message, AIMessage):
            return None
        if self.from_call:
            value: Any = message.tool_calls[0]["args"] if message.tool_calls else None
            value = value.get(VALUE) if self._wrapped and value else value
        else:
            try:
                value = parse_partial_json(message.text)
            except ValueError:
                return None
        return value if isinstance(value, (dict, list)) else None

    def _arguments(self, message: AIMessage) -> Any:
        if message.tool_calls:
            arguments: Any = message.tool_calls[0]["args"]
        elif message.invalid_tool_calls:
            arguments = parse_answer(message.invalid_tool_calls[0]["args"] or "")
        else:
            raise InvalidAnswer("the answer has no tool call", text=message.text)
        if not self._wrapped:
            return arguments
        if not isinstance(arguments, dict) or arguments.keys() != {VALUE}:
            fault = f"$: the call's arguments need the one property {VALUE!r} (required)"
            raise misfit(self._wanted.name, [fault], json.dumps(arguments))
        return arguments[VALUE]

    def _validated(self, value: Any) -> Any:
        return self._wanted.read(json.dumps(value))

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        whole: Any = None
        previous: Any = _NOTHING
        for chunk in input:
            whole = _added(whole, chunk)
            value = self.parse_result([whole], partial=True)
            if value is not None and value != previous:
                previous = value
                yield value
        yield from self._end(whole, previous)

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        whole: Any = None
        previous: Any = _NOTHING
        async for chunk in input:
            whole = _added(whole, chunk)
            value = self.parse_result([whole], partial=True)
            if value is not None and value != previous:
                previous = value
                yield value
        for value in self._end(whole, previous):
            yield value

    def _end(self, whole: Any, previous: Any) -> Iterator[Any]:
        """Yield the validated whole if it differs; LangChain's own parsers do not validate it."""
        if whole is not None and (value := self.parse_result([whole])) != previous:
            yield value


def _added(whole: Any, chunk: str | BaseMessage) -> Any:
    if isinstance(chunk, BaseMessage):
        new: Any = ChatGenerationChunk(message=_as_chunk(chunk))
    else:
        new = GenerationChunk(text=chunk)
    return new if whole is None else whole + new


def _as_chunk(message: BaseMessage) -> Any:
    if isinstance(message, AIMessageChunk):
        return message
    fields = {k: v for k, v in message.__dict__.items() if k != "type"}
    return AIMessageChunk(**fields)


def structured(
    llm: Runnable[LanguageModelInput, AIMessage], parser: StructuredParser, include_raw: bool
) -> Runnable[LanguageModelInput, Any]:
    """Chain a model and a parser.

    Args:
        llm: the model, bound to the schema.
        parser: reads its answers.
        include_raw: whether to return ``{"raw": …, "parsed": …, "parsing_error": …}`` instead of
            the parsed value, and not to raise for a parsing error.
    """
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
