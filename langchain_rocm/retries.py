"""Ask again for structured output that is not valid, and tell the model what was wrong.

    messages ─▶ answer ─▶ InvalidAnswer ─▶ messages + answer + what is wrong ─▶ answer …

What is added is text, not a tool call and its result: every chat template can show it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config

from rocm_core.adapter import correction
from rocm_core.errors import InvalidAnswer


class Retrying(Runnable[LanguageModelInput, Any]):
    """Structured output that is asked for again while it is not valid.

    A stream yields the growing values of each attempt in turn: a value that gets shorter has begun
    again, and the last one is valid.

    Args:
        attempt: answers once: with a value, or an ``InvalidAnswer``; or with a dict that has such
            an error as ``parsing_error``.
        retries: how many more attempts there may be after the first.

    Raises:
        InvalidAnswer: the last attempt's.
    """

    def __init__(self, attempt: Runnable[LanguageModelInput, Any], retries: int) -> None:
        self._attempt = attempt
        self._retries = retries

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Return a valid value, or what the last attempt was."""
        return self._call_with_config(self._answer, input, config, **kwargs)

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """``invoke`` for asyncio."""
        return await self._acall_with_config(self._aanswer, input, config, **kwargs)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield the values of each attempt."""

        def given() -> Iterator[LanguageModelInput]:
            yield input

        yield from self._transform_stream_with_config(given(), self._values, config, **kwargs)

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """``stream`` for asyncio."""

        async def given() -> AsyncIterator[LanguageModelInput]:
            yield input

        stream = self._atransform_stream_with_config(given(), self._avalues, config, **kwargs)
        async with aclosing(cast(Any, stream)) as values:
            async for value in values:
                yield value

    # -- the attempts -----------------------------------------------------------------------

    def _answer(
        self,
        given: LanguageModelInput,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        config = patch_config(config, callbacks=run_manager.get_child())
        for _ in range(self._retries):
            try:
                value = self._attempt.invoke(given, config, **kwargs)
                if (fault := fault_of(value)) is None:
                    return value
            except InvalidAnswer as error:
                fault = error
            given = corrected(given, fault)
        return self._attempt.invoke(given, config, **kwargs)

    async def _aanswer(
        self,
        given: LanguageModelInput,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        config = patch_config(config, callbacks=run_manager.get_child())
        for _ in range(self._retries):
            try:
                value = await self._attempt.ainvoke(given, config, **kwargs)
                if (fault := fault_of(value)) is None:
                    return value
            except InvalidAnswer as error:
                fault = error
            given = corrected(given, fault)
        return await self._attempt.ainvoke(given, config, **kwargs)

    def _values(
        self,
        inputs: Iterator[LanguageModelInput],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Iterator[Any]:
        given = next(inputs)
        config = patch_config(config, callbacks=run_manager.get_child())
        for attempt in range(self._retries + 1):
            try:
                # A parsing error beside a raw answer comes as a value, and the last one counts.
                fault = None
                with closing(cast(Any, self._attempt.stream(given, config, **kwargs))) as values:
                    for value in values:
                        fault = fault_of(value) or fault
                        yield value
            except InvalidAnswer as error:
                if attempt == self._retries:
                    raise
                fault = error
            if fault is None:
                return
            given = corrected(given, fault)

    async def _avalues(
        self,
        inputs: AsyncIterator[LanguageModelInput],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        given = await anext(inputs)
        config = patch_config(config, callbacks=run_manager.get_child())
        for attempt in range(self._retries + 1):
            try:
                fault = None
                stream = cast(Any, self._attempt.astream(given, config, **kwargs))
                async with aclosing(stream) as values:
                    async for value in values:
                        fault = fault_of(value) or fault
                        yield value
            except InvalidAnswer as error:
                if attempt == self._retries:
                    raise
                fault = error
            if fault is None:
                return
            given = corrected(given, fault)


def fault_of(value: Any) -> InvalidAnswer | None:
    """Return the parsing error in an answer with ``include_raw``; ``None`` in any other."""
    error = value.get("parsing_error") if isinstance(value, dict) else None
    return error if isinstance(error, InvalidAnswer) else None


def corrected(given: LanguageModelInput, fault: InvalidAnswer) -> list[BaseMessage]:
    """Return the messages of the next attempt."""
    if isinstance(given, PromptValue):
        messages = given.to_messages()
    elif isinstance(given, str):
        messages = [HumanMessage(given)]
    else:
        messages = convert_to_messages(given)
    answer = [AIMessage(fault.text)] if fault.text else []
    return [*messages, *answer, HumanMessage(correction(fault))]
