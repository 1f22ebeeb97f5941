"""Structured output: send a schema, parse and validate the answer.

llama-server enforces the schema as a grammar with every method. We validate the answer all the
same, because a server that cannot compile a schema may answer without one.
"""

from __future__ import annotations

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
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json import parse_partial_json
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ValidationError

from langchain_rocm.conversion.answers import reasoning_of
from langchain_rocm.errors import model_errors
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import parse_answer, schema_format

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS = ("json_schema", "function_calling", "json_mode")


def json_schema_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return the JSON schema of a pydantic class, ``TypedDict``, function spec or JSON schema.

    Args:
        schema: any of these.
        strict: as in OpenAI's schemas: whether no other properties than those named are allowed;
            ``None`` leaves the schema as it is.

    Raises:
        ValueError: ``schema`` is none of these.
    """
    return convert_to_json_schema(named(schema), strict=strict)


def named(schema: Any) -> Any:
    """Return ``schema``; a JSON schema without a title gets one, because LangChain requires it."""
    if isinstance(schema, Mapping) and not schema.keys() & {"title", "name", "function"}:
        return {"title": "answer", **schema}
    return schema


def format_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return the ``response_format`` that enforces ``schema``; ``None`` allows any object.

    Raises:
        ValueError: as ``json_schema_of``.
    """
    if schema is None:
        return schema_format({"type": "object"})
    plain = json_schema_of(schema, strict)
    format_ = schema_format(plain, str(plain.get("title") or "answer"))
    if strict is not None:
        format_["json_schema"]["strict"] = strict
    return format_


def fits(text: str, format_: Mapping[str, Any]) -> bool:
    """Return whether ``text`` is JSON that matches a response format."""
    try:
        validate(parse_answer(text), format_["json_schema"]["schema"])
    except InvalidAnswer:
        return False
    return True


def validate(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return ``value`` if it matches ``schema``.

    Raises:
        InvalidAnswer: it does not.
    """
    import jsonschema  # not at the top: it takes a quarter of this package's import time

    try:
        jsonschema.validate(value, schema)
    except jsonschema.ValidationError as error:
        raise _misfit(error.message, value) from error
    return value


def _misfit(problem: str, value: Any) -> InvalidAnswer:
    return InvalidAnswer(
        f"the answer is not of the schema: {problem}. The server did not apply it: it may be too "
        "old, or no llama-server, or unable to express this schema as a grammar.",
        text=str(value),
    )


class StructuredParser(BaseCumulativeTransformOutputParser[Any]):
    """Parses an answer, or the arguments of its first tool call, into a validated value.

    The value is an instance for a pydantic class, and a dict for any other schema. A stream yields
    growing dicts; for a pydantic class only the one instance at the end.
    """

    target: Any
    """The schema as the user gave it; ``None`` for any JSON object."""
    from_call: bool = False
    """Read the first tool call instead of the text."""

    @property
    def _type(self) -> str:
        return "rocm-structured"

    @cached_property
    def _schema(self) -> dict[str, Any]:
        return json_schema_of(self.target) if self.target is not None else {"type": "object"}

    @property
    def _of_class(self) -> bool:
        return isinstance(self.target, type) and is_basemodel_subclass(self.target)

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
        if self._of_class or not isinstance(message, AIMessage):
            return None
        if self.from_call:
            return message.tool_calls[0]["args"] if message.tool_calls else None
        try:
            value = parse_partial_json(message.text)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _arguments(self, message: AIMessage) -> Any:
        if message.tool_calls:
            return message.tool_calls[0]["args"]
        if message.invalid_tool_calls:
            return parse_answer(message.invalid_tool_calls[0]["args"] or "")
        raise InvalidAnswer("the answer has no tool call", text=message.text)

    def _validated(self, value: Any) -> Any:
        if not self._of_class:
            return validate(value, self._schema)
        try:
            if issubclass(self.target, BaseModel):
                return self.target.model_validate(value)
            return self.target.parse_obj(value)
        except ValidationError as error:
            raise _misfit(str(error), value) from error
        except ValueError as error:  # pydantic v1
            raise _misfit(str(error), value) from error

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        whole: Any = None
        previous: Any = None
        for chunk in input:
            whole = _added(whole, chunk)
            value = self.parse_result([whole], partial=True)
            if value is not None and value != previous:
                previous = value
                yield value
        yield from self._end(whole, previous)

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        whole: Any = None
        previous: Any = None
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
