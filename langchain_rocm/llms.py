"""The text model: continues a prompt as it is, without a chat template."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.language_models.base import LangSmithParams
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables.config import ContextThreadPoolExecutor
from pydantic import model_validator
from typing_extensions import Self

from langchain_rocm.errors import model_errors
from langchain_rocm.options import VERSION, LangChainOptions
from langchain_rocm.streaming.chunks import TextChunks
from langchain_rocm.streaming.several import SeveralAnswers
from rocm_core import Completion, Infill
from rocm_core.requests import INFILL_FIELDS, check_texts

# llama-server's own default; other servers do not tell their number.
_USUAL_SLOTS = 4


class RocmLLM(LangChainOptions, BaseLLM):
    """Raw text completion on llama.cpp.

        RocmLLM(model="path/to/model.gguf", max_tokens=64).invoke("Once upon a time")

    With ``suffix=…`` it writes what belongs between the prompt and the suffix, for models that
    know how (llama-server's ``/infill``); ``input_extra=[{"filename", "text"}, …]`` are other
    files of the project.

    Options, sharing and errors are those of ``ChatRocm``. ``generation_info`` of an answer has
    ``finish_reason``, ``model_name``, ``model_provider``, ``timings`` (milliseconds and tokens
    per second) and ``usage`` (tokens, in the form of LangChain's ``UsageMetadata``).
    """

    _of_calls: ClassVar[frozenset[str]] = INFILL_FIELDS
    _chats: ClassVar[bool] = False

    @model_validator(mode="after")
    def _set_rocm_version(self) -> Self:
        self._add_version("llama-rocm", VERSION)
        return self

    @property
    def _llm_type(self) -> str:
        return "rocm-llm"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._tracing_params("llm", stop, kwargs)

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of ``text``, from the model's own tokenizer; no special tokens are added."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with model_errors():
            return self.text_model.tokenize(text)

    # -- streams ----------------------------------------------------------------------------

    def _request(
        self,
        prompt: str,
        stop: list[str] | None,
        options: dict[str, Any],
        *,
        several: bool = False,
    ) -> Completion | Infill:
        config, fields = self._settings(stop, options, several=several)
        extra = {**config.extra, **fields}
        suffix = extra.pop("suffix", None)
        config = replace(config, extra=extra)
        return Completion(prompt, config) if suffix is None else Infill(prompt, suffix, config)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with model_errors():
            request = self._request(prompt, stop, kwargs)
            reader = TextChunks(self.loaded_name())
            stream = self.text_model.events(request, max_retries=self.max_retries)
            with closing(stream) as events:
                for event in events:
                    yield from _tell(run_manager, reader.read(event))
        yield reader.last()

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        with model_errors():
            model = await self._amodel()
            request = self._request(prompt, stop, kwargs)
            reader = TextChunks(self.loaded_name())
            stream = model.aevents(request, max_retries=self.max_retries)
            async with aclosing(stream) as events:
                async for event in events:
                    for chunk in await _atell(run_manager, reader.read(event)):
                        yield chunk
        yield reader.last()

    # -- whole answers ----------------------------------------------------------------------
    #
    # Several prompts run side by side, as many as the server has slots. LangChain hands over the
    # run manager of the first one only, so with several nobody is told of tokens.

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        count = self._answers(kwargs)
        if len(prompts) == 1 and count == 1:
            stream = self._stream(prompts[0], stop, run_manager, **kwargs)
            return LLMResult(generations=[[_added_up(list(stream))]])
        given_up = threading.Event()

        def complete(prompt: str) -> list[Generation]:
            if given_up.is_set():
                return []
            try:
                if count > 1:
                    return self._several(prompt, stop, kwargs, count, given_up)
                chunks = self._stream(prompt, stop, **kwargs)
                return [_added_up(list(takewhile(lambda _: not given_up.is_set(), chunks)))]
            except BaseException:
                # Here, before this thread takes the next prompt: the main thread hears of it later.
                given_up.set()
                raise

        with model_errors():
            check_texts(prompts, "prompts")
            slots = (self.text_model.props or self.text_model.load()).total_slots
        with ContextThreadPoolExecutor(max_workers=slots or _USUAL_SLOTS) as pool:
            try:
                return LLMResult(generations=list(pool.map(complete, prompts)))
            except BaseException:
                given_up.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        count = self._answers(kwargs)
        if len(prompts) == 1 and count == 1:
            stream = self._astream(prompts[0], stop, run_manager, **kwargs)
            return LLMResult(generations=[[_added_up([chunk async for chunk in stream])]])
        with model_errors():
            check_texts(prompts, "prompts")
            model = await self._amodel()
            facts = model.props or await model.aload()
        slots = asyncio.Semaphore(facts.total_slots or _USUAL_SLOTS)

        async def complete(prompt: str) -> list[Generation]:
            async with slots:
                if count > 1:
                    return await self._aseveral(prompt, stop, kwargs, count)
                chunks = self._astream(prompt, stop, **kwargs)
                return [_added_up([chunk async for chunk in chunks])]

        tasks = [asyncio.ensure_future(complete(prompt)) for prompt in prompts]
        try:
            return LLMResult(generations=await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _several(
        self,
        prompt: str,
        stop: list[str] | None,
        options: dict[str, Any],
        count: int,
        given_up: threading.Event,
    ) -> list[Generation]:
        with model_errors():
            request = self._request(prompt, stop, options, several=True)
            answers = SeveralAnswers(count, partial(TextChunks, self.loaded_name()))
            with closing(self.text_model.events(request, max_retries=self.max_retries)) as events:
                for event in takewhile(lambda _: not given_up.is_set(), events):
                    answers.read(event)
        return [_added_up(chunks) for chunks in answers.chunks()]

    async def _aseveral(
        self, prompt: str, stop: list[str] | None, options: dict[str, Any], count: int
    ) -> list[Generation]:
        with model_errors():
            model = await self._amodel()
            request = self._request(prompt, stop, options, several=True)
            answers = SeveralAnswers(count, partial(TextChunks, self.loaded_name()))
            async with aclosing(model.aevents(request, max_retries=self.max_retries)) as events:
                async for event in events:
                    answers.read(event)
        return [_added_up(chunks) for chunks in answers.chunks()]


def _tell(
    run_manager: CallbackManagerForLLMRun | None, chunks: Sequence[GenerationChunk]
) -> Sequence[GenerationChunk]:
    """``chunks``, after the callbacks were told; unlike for chat, LangChain leaves that to us."""
    if run_manager is not None:
        for chunk in chunks:
            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
    return chunks


async def _atell(
    run_manager: AsyncCallbackManagerForLLMRun | None, chunks: Sequence[GenerationChunk]
) -> Sequence[GenerationChunk]:
    if run_manager is not None:
        for chunk in chunks:
            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
    return chunks


def _added_up(chunks: Sequence[GenerationChunk]) -> Generation:
    """One answer; what describes it is in its last chunk, log probabilities are with each piece."""
    info = dict(chunks[-1].generation_info or {}) if chunks else None
    found = [(chunk.generation_info or {}).get("logprobs", {"content": ()}) for chunk in chunks]
    if info is not None and (logprobs := [entry for each in found for entry in each["content"]]):
        info["logprobs"] = {"content": logprobs}
    return Generation(text="".join(chunk.text for chunk in chunks), generation_info=info)
