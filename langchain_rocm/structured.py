"""Structured output: a schema on the way out, a validated value on the way back.

The schema is enforced by llama-server as a grammar, whatever the method. Validated it is all
the same: a server that cannot compile a schema may answer without one.
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

from langchain_rocm.conversion.messages import reasoning_of
from langchain_rocm.errors import model_errors
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import parse_answer, response_format

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS = ("json_schema", "function_calling", "json_mode")


def json_schema_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """The JSON schema of a pydantic class, a ``TypedDict``, a function spec or a JSON schema.

    Raises:
        ValueError: it is none of these.
    """
    return convert_to_json_schema(named(schema), strict=strict)


def named(schema: Any) -> Any:
    """``schema``, with a name if it is a JSON schema that has none: LangChain wants one."""
    if isinstance(schema, Mapping) and not schema.keys() & {"title", "name", "function"}:
        return {"title": "answer", **schema}
    return schema


def format_of(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """The request field that binds the answer to ``schema``; ``None`` is any object."""
    if schema is None:
        return response_format({"type": "object"})
    plain = json_schema_of(schema, strict)
    format_ = response_format(plain, str(plain.get("title") or "answer"))
    if strict is not None:
        format_["json_schema"]["strict"] = strict
    return format_


def fits(text: str, format_: Mapping[str, Any]) -> bool:
    """Whether ``text`` is of a response format already."""
    try:
        validate(parse_answer(text), format_["json_schema"]["schema"])
    except InvalidAnswer:
        return False
    return True


def validate(value: Any, schema: Mapping[str, Any]) -> Any:
    """``value``, if it is of ``schema``.

    Raises:
        InvalidAnswer: it is not.
    """
    import jsonschema  # late: a quarter of this package's import time

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
    """An answer, or the arguments of its tool call, as a validated value.

    A pydantic class gives an instance; any other schema a dict. Streams yield growing dicts and,
    for a pydantic class, the one instance at the end.
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
        """The value in ``text``.

        Raises:
            langchain_rocm.errors.InvalidAnswer: there is none.
        """
        with model_errors():
            return self._validated(parse_answer(text))

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """The value in a model's answer; ``partial``: what there is of it, or ``None``."""
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
        """What LangChain's own parsers leave out: the check of the whole."""
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
    """``llm`` and ``parser`` in a row; with ``include_raw`` errors are values."""
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
