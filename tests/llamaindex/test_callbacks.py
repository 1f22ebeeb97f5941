"""LlamaIndex's observers see each call once and each response once, with the right numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
)
from llama_index.core.instrumentation.span import SimpleSpan
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index_instrumentation import get_dispatcher
from pydantic import SecretStr

from llama_index_rocm import RocmLLM
from rocm_core.errors import ContextOverflow
from tests.support.adapters.observing import Collector, observed_events
from tests.support.models.reciter import ANSWER, PIECES

HELLO = [ChatMessage("Hello")]
SPOKEN = len(PIECES) + 1  # the end token counts
RESPONSES = len(PIECES) + 1  # one per piece, one at the end


@pytest.fixture
def seen() -> Iterator[Collector]:
    with observed_events() as collector:
        yield collector


def watched(llm: RocmLLM, *handlers: Any) -> RocmLLM:
    return llm.model_copy(update={"callback_manager": CallbackManager(list(handlers))})


async def test_token_counter_counts_each_call_once_and_exactly(llm: RocmLLM) -> None:
    counter = TokenCountingHandler()
    own = watched(llm, counter)
    own.chat(HELLO)
    list(own.stream_chat(HELLO))
    await own.achat(HELLO)
    _ = [r async for r in await own.astream_chat(HELLO)]
    own.complete("Hello")
    list(own.stream_complete("Hello"))
    await own.acomplete("Hello")
    _ = [r async for r in await own.astream_complete("Hello")]
    own.close()
    counts = counter.llm_token_counts
    assert [count.completion_token_count for count in counts] == [SPOKEN] * 8
    prompt = llm.text_model.connection.client.apply_template([{"role": "user", "content": "Hello"}])
    exact = len(llm.text_model.tokenize(prompt, add_special=True))
    assert [count.prompt_token_count for count in counts] == [exact] * 8
    assert [count.completion for count in counts[:4]] == [f"assistant: {ANSWER}"] * 4
    assert [count.completion for count in counts[4:]] == [ANSWER] * 4


def test_chat_stream_has_one_event_per_response(llm: RocmLLM, seen: Collector) -> None:
    list(llm.stream_chat(HELLO))
    assert seen.counts() == {
        "LLMChatStartEvent": 1,
        "LLMChatInProgressEvent": RESPONSES,
        "LLMChatEndEvent": 1,
    }
    end = seen.events[-1]
    assert isinstance(end, LLMChatEndEvent)
    assert end.response is not None and end.response.raw is not None
    assert end.response.message.content == ANSWER
    assert end.response.raw["usage"]["completion_tokens"] == SPOKEN
    assert len({event.span_id for event in seen.events}) == 1


async def test_async_completion_stream_has_one_event_per_response(
    llm: RocmLLM, seen: Collector
) -> None:
    _ = [r async for r in await llm.astream_complete("Hello")]
    assert seen.counts() == {
        "LLMCompletionStartEvent": 1,
        "LLMCompletionInProgressEvent": RESPONSES,
        "LLMCompletionEndEvent": 1,
    }
    end = seen.events[-1]
    assert isinstance(end, LLMCompletionEndEvent)
    assert end.response.text == ANSWER


async def test_calls_that_do_not_stream_have_two_events(llm: RocmLLM, seen: Collector) -> None:
    llm.chat(HELLO)
    await llm.achat(HELLO)
    assert seen.counts() == {"LLMChatStartEvent": 2, "LLMChatEndEvent": 2}
    seen.events.clear()
    llm.complete("Hello")
    await llm.acomplete("Hello")
    assert seen.counts() == {"LLMCompletionStartEvent": 2, "LLMCompletionEndEvent": 2}


def test_start_event_shows_the_model_and_the_options_but_no_key(seen: Collector) -> None:
    llm = RocmLLM(model="http://127.0.0.1:1", api_key=SecretStr("sk-secret"), temperature=0.5)
    llm.stream_chat(HELLO, seed=7)
    (start,) = seen.events
    assert isinstance(start, LLMChatStartEvent)
    assert start.model_dict["model"] == "http://127.0.0.1:1"
    assert start.model_dict["temperature"] == 0.5
    assert start.additional_kwargs == {"seed": 7}
    assert "sk-secret" not in str(start.model_dump())


async def test_one_span_per_call(llm: RocmLLM) -> None:
    spans = SimpleSpanHandler()
    root = get_dispatcher()
    root.add_span_handler(spans)
    try:
        llm.chat(HELLO)
        list(llm.stream_chat(HELLO))
        await llm.acomplete("Hello")
        _ = [r async for r in await llm.astream_complete("Hello")]
    finally:
        root.span_handlers.remove(spans)
    names = [span.id_.split("-")[0] for span in spans.completed_spans if type(span) is SimpleSpan]
    assert names == [
        "RocmLLM.chat",
        "RocmLLM.stream_chat",
        "RocmLLM.acomplete",
        "RocmLLM.astream_complete",
    ]


def test_an_error_ends_the_call_for_its_observers(llm: RocmLLM, seen: Collector) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    own = watched(llm, debug)
    with pytest.raises(ContextOverflow):
        own.chat([ChatMessage("x" * 9000)])
    with pytest.raises(ContextOverflow):
        list(own.stream_chat([ChatMessage("x" * 9000)]))
    own.close()
    pairs = debug.get_event_pairs(CBEventType.LLM)
    assert len(pairs) == 2
    assert all("exception" in str(end.payload) for _, end in pairs)
    assert seen.counts()["ExceptionEvent"] == 1
