"""``stream`` and ``astream`` without what LangChain's own keep: every chunk until the end.

``StreamDriver`` does what ``BaseChatModel.stream`` of langchain-core 1.7 and 1.8 does, callback by
callback, with two differences: the chunks are merged while they come (``merging.py``), and when
nobody listens to the run, nothing is merged at all. ``tests/langchain/streaming/test_driver.py``
compares the two. It needs names that langchain-core keeps for itself, all of them imported or
called here: with a langchain-core that is not known, or has moved one, its own drivers run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.version import VERSION
from typing_extensions import override

from langchain_rocm.streaming.merging import ChunkMerger

_KNOWN = ("1.7.", "1.8.")  # versions of langchain-core whose drivers this one equals

try:
    from langchain_core.language_models._utils import (
        _filter_invocation_params_for_tracing,
        _normalize_messages,
        _update_message_content_to_blocks,
    )
    from langchain_core.language_models.chat_models import (
        _format_for_tracing,
        _format_ls_structured_output,
        _gen_info_and_msg_metadata,
        _generate_response_from_error,
    )
except ImportError:
    _equals_langchains = False
else:
    _equals_langchains = VERSION.startswith(_KNOWN)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
else:  # A second pydantic class would take longer to build than a stream to start.
    BaseChatModel = object

_RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun


class StreamDriver(BaseChatModel):
    """To inherit before ``BaseChatModel``: its streams, keeping nothing that nobody asked for."""

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        if not self._drives(async_api=False, options=kwargs):
            yield from super().stream(input, config, stop=stop, **kwargs)
            return
        call = _Call(self, input, config, stop, kwargs)
        configured = CallbackManager.configure(*call.callbacks, **call.tracing)
        (run,) = configured.on_chat_model_start(self._serialized, **call.start)
        if self.rate_limiter:
            self.rate_limiter.acquire(blocking=True)
        answer = _Answer(run, self.output_version)
        try:
            for chunk in self._stream(call.sent(), stop=stop, **kwargs):
                answer.complete(chunk)
                if answer.kept is not None:
                    run.on_llm_new_token(cast("str", chunk.message.content), chunk=chunk)
                    answer.kept.add(chunk)
                yield cast("AIMessageChunk", chunk.message)
            if last := answer.missing_end():
                run.on_llm_new_token("", chunk=last)
                yield cast("AIMessageChunk", last.message)
        except BaseException as error:
            if answer.kept is not None:
                run.on_llm_error(error, response=answer.failed(error))
            raise
        if answer.last is None:
            nothing = _no_chunks()
            run.on_llm_error(nothing, response=LLMResult(generations=[]))
            raise nothing
        if answer.kept is not None:
            run.on_llm_end(answer.whole())

    @override
    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        if not self._drives(async_api=True, options=kwargs):
            async with aclosing(super().astream(input, config, stop=stop, **kwargs)) as theirs:  # type: ignore[type-var]
                async for message in theirs:
                    yield message
            return
        call = _Call(self, input, config, stop, kwargs)
        configured = AsyncCallbackManager.configure(*call.callbacks, **call.tracing)
        (run,) = await configured.on_chat_model_start(self._serialized, **call.start)
        if self.rate_limiter:
            await self.rate_limiter.aacquire(blocking=True)
        answer = _Answer(run, self.output_version)
        try:
            async for chunk in self._astream(call.sent(), stop=stop, **kwargs):
                answer.complete(chunk)
                if answer.kept is not None:
                    await run.on_llm_new_token(cast("str", chunk.message.content), chunk=chunk)
                    answer.kept.add(chunk)
                yield cast("AIMessageChunk", chunk.message)
            if last := answer.missing_end():
                await run.on_llm_new_token("", chunk=last)
                yield cast("AIMessageChunk", last.message)
        except BaseException as error:
            if answer.kept is not None:
                await run.on_llm_error(error, response=answer.failed(error))
            raise
        if answer.last is None:
            nothing = _no_chunks()
            await run.on_llm_error(nothing, response=LLMResult(generations=[]))
            raise nothing
        if answer.kept is not None:
            await run.on_llm_end(answer.whole())

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = ChunkMerger()
        for chunk in self._stream(messages, stop, **kwargs):
            answer.add(chunk)
        return generate_from_stream(iter(answer.chunks()))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = ChunkMerger()
        async for chunk in self._astream(messages, stop, **kwargs):
            answer.add(chunk)
        return generate_from_stream(iter(answer.chunks()))

    def _drives(self, *, async_api: bool, options: dict[str, Any]) -> bool:
        """Whether this driver takes the call; else LangChain's, that may answer at once."""
        return _equals_langchains and self._should_stream(
            async_api=async_api, **{**options, "stream": True}
        )


class _Call:
    """What a call tells its callbacks.

    Attributes:
        messages: the conversation.
        callbacks, tracing: arguments of ``CallbackManager.configure``.
        start: arguments of ``on_chat_model_start``.
    """

    def __init__(
        self,
        model: BaseChatModel,
        given: LanguageModelInput,
        config: RunnableConfig | None,
        stop: list[str] | None,
        options: dict[str, Any],
    ) -> None:
        """Take what only traces are told out of ``options``."""
        config = ensure_config(config)
        self.messages: list[BaseMessage] = model._convert_input(given).to_messages()
        structured = options.pop("ls_structured_output_format", None) or options.pop(
            "structured_output_format", None
        )
        told = _format_ls_structured_output(structured)
        params = model._get_invocation_params(stop=stop, **options)
        metadata = {
            **(config.get("metadata") or {}),
            **model._get_ls_params_with_defaults(stop=stop, **options),
        }
        inherited = (config.get("callbacks"), model.callbacks, model.verbose)
        self.callbacks = (*inherited, config.get("tags"), model.tags, metadata, model.metadata)
        self.tracing: dict[str, Any] = {
            "langsmith_inheritable_metadata": _filter_invocation_params_for_tracing(params)
        }
        known = {key: params[key] for key in options if key in params}
        self.start: dict[str, Any] = {
            "messages": [_format_for_tracing(self.messages)],
            "invocation_params": params,
            "options": {"stop": stop, **known, **told},
            "name": config.get("run_name"),
            "run_id": config.pop("run_id", None),
            "batch_size": 1,
        }

    def sent(self) -> list[BaseMessage]:
        """Return the messages in the form that models get."""
        return _normalize_messages(self.messages)


class _Answer:
    """One answer: what its chunks still need, and what is left of those that came.

    Attributes:
        kept: what the run's callbacks are told at its end; ``None`` if there are none.
        last: the last chunk's message.
    """

    def __init__(self, run: _RunManager, output_version: str | None) -> None:
        self.kept = ChunkMerger() if run.handlers else None
        self.last: Any = None
        self._id = f"lc_run--{run.run_id}"
        self._as_blocks = output_version == "v1"
        self._block, self._block_type = -1, ""

    def complete(self, chunk: ChatGenerationChunk) -> None:
        """Give the chunk the run's id, its metadata and, in v1, numbered content blocks."""
        message = chunk.message
        if message.id is None:
            message.id = self._id
        if chunk.generation_info:
            message.response_metadata = _gen_info_and_msg_metadata(chunk)
        else:
            message.response_metadata = message.response_metadata.copy()
        if self._as_blocks:
            chunk.message = message = _update_message_content_to_blocks(message, "v1")
            for block in cast("list[dict[str, Any]]", message.content):
                if block["type"] != self._block_type:
                    self._block_type = block["type"]
                    self._block += 1
                block.setdefault("index", self._block)
        self.last = message

    def missing_end(self) -> ChatGenerationChunk | None:
        """Return an empty last chunk if the model did not mark one."""
        last = self.last
        if not isinstance(last, AIMessageChunk) or last.chunk_position:
            return None
        empty: Any = "" if isinstance(last.content, str) else []
        message = AIMessageChunk(content=empty, chunk_position="last", id=self._id)
        return ChatGenerationChunk(message=message)

    def failed(self, error: BaseException) -> LLMResult:
        """Return what had come before ``error``, and what the error tells."""
        told: list[Any] = list(_generate_response_from_error(error))
        merged = self.kept.merged() if self.kept else None
        return LLMResult(generations=[[merged], told] if merged else [told])

    def whole(self) -> LLMResult:
        """Return the whole answer."""
        merged = self.kept.merged() if self.kept else None
        assert merged is not None  # a last chunk has come
        return LLMResult(generations=[[merged]])


def _no_chunks() -> ValueError:
    return ValueError("No generation chunks were returned")
