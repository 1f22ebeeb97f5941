"""The chat model.

    messages ─messages.py─▶ request ─TextModel.chat_events─▶ events ─chunks.py─▶ chunks

``invoke`` streams as well and adds the chunks up, so that cancelling it, or Ctrl-C, frees the
server's slot at once. Sync and async differ only in the loop over the events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import model_validator
from typing_extensions import Self

from langchain_rocm.chunks import ChatChunks
from langchain_rocm.errors import model_errors
from langchain_rocm.messages import request_messages
from langchain_rocm.options import VERSION, LangChainOptions, abegin, begin
from rocm_core import GenerateConfig


class ChatRocm(LangChainOptions, BaseChatModel):
    """A chat model on llama.cpp: your AMD card, your CPU, or a running server.

        chat = ChatRocm(model="path/to/model.gguf", temperature=0.7)
        chat.invoke("Hello").text

    Options are those of ``rocm_core.LoadConfig`` (how to load) and ``GenerateConfig`` (how to
    generate), flat; what is not given is not sent, so the server's and the model's own defaults
    apply. Options of one call go over them, and any other keyword becomes a field of
    llama-server's request: ``chat.invoke(…, top_k=1, chat_template_kwargs={…})``.

    The server starts at first use; instances with the same model and load options share one.
    ``close()`` lets go of it.

    Every answer has ``usage_metadata``, and in ``response_metadata`` ``model_name``,
    ``model_provider`` (``"rocm"``), ``finish_reason`` and llama-server's ``timings``
    (milliseconds and tokens per second).

    Raises:
        pydantic.ValidationError: an option is unknown or does not fit.
        langchain_rocm.errors: every other error, in LangChain's ``ModelError`` family.
    """

    streaming: bool = False
    """``True``: ``invoke`` reports its tokens to callbacks. ``False``, when given: ``stream``
    yields the whole answer at once."""

    @model_validator(mode="after")
    def _set_rocm_version(self) -> Self:
        self._add_version("llama-rocm", VERSION)
        return self

    @property
    def _llm_type(self) -> str:
        return "rocm-chat"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._tracing_params("chat", stop, kwargs)

    def _prepare(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], GenerateConfig, dict[str, Any], ChatChunks]:
        """The request's messages, how to generate, further fields, and the reader of chunks."""
        config, fields = self._settings(stop, options)
        reader = ChatChunks(self.loaded_name(), logprobs=bool(fields.get("logprobs")))
        return request_messages(messages), config, fields, reader

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # LangChain itself tells the callbacks of every chunk: run_manager is not needed.
        with model_errors():
            request, config, fields, reader = self._prepare(messages, stop, kwargs)
            event, events = begin(
                lambda: self.text_model.chat_events(request, config, **fields), self.max_retries
            )
            with closing(events):
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
        with model_errors():
            request, config, fields, reader = self._prepare(messages, stop, kwargs)
            event, events = await abegin(
                lambda: self.text_model.achat_events(request, config, **fields), self.max_retries
            )
            async with aclosing(events):
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
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chunks = [chunk async for chunk in self._astream(messages, stop, **kwargs)]
        return generate_from_stream(iter(chunks))
