"""LlamaIndex's engines and prompts on ``RocmLLM``, without global settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Document, PromptTemplate, Settings, SummaryIndex
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.types import BaseOutputParser

from llama_index_rocm import RocmLLM
from tests.support.models.reciter import ANSWER, CONTEXT, PIECES

ASK = PromptTemplate("Say something about {topic}.")


@pytest.fixture(autouse=True)
def no_global_llm() -> Iterator[None]:
    """Whatever falls back on the global LLM says so."""
    Settings.llm = MockLLM(max_tokens=1)
    yield
    Settings._llm = None


class Shouting(BaseOutputParser):
    """Upper case in, upper case out."""

    def parse(self, output: str) -> str:
        return output.upper()

    def format(self, query: str) -> str:
        return query.upper()


class Wiretap:
    """The messages of each request."""

    def __init__(self, llm: RocmLLM, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        model = llm.text_model
        events = model.events

        def spied(request: Any) -> Any:
            made = request(model.props) if callable(request) else request
            self.requests.append(list(made.messages))
            return events(request)

        monkeypatch.setattr(model, "events", spied)


def test_predict_and_stream(llm: RocmLLM) -> None:
    assert llm.predict(ASK, topic="llamas") == ANSWER
    assert list(llm.stream(ASK, topic="llamas")) == [*PIECES, ""]


async def test_apredict_and_astream(llm: RocmLLM) -> None:
    assert await llm.apredict(ASK, topic="llamas") == ANSWER
    assert [token async for token in await llm.astream(ASK, topic="llamas")] == [*PIECES, ""]


def test_system_prompt_and_output_parser(llm: RocmLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    own = llm.model_copy(update={"system_prompt": "Be brief.", "output_parser": Shouting()})
    wire = Wiretap(own, monkeypatch)
    assert own.predict(ASK, topic="llamas") == ANSWER.upper()
    assert wire.requests == [
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "SAY SOMETHING ABOUT LLAMAS."},
        ]
    ]
    own.close()


def test_chat_engine(llm: RocmLLM) -> None:
    engine = SimpleChatEngine.from_defaults(
        llm=llm, memory=ChatMemoryBuffer.from_defaults(llm=llm), system_prompt="Be brief."
    )
    assert engine.chat("Hello").response == ANSWER
    assert "".join(engine.stream_chat("And?").response_gen) == ANSWER
    roles = [message.role.value for message in engine.chat_history]
    assert roles == ["user", "assistant"] * 2
    assert [m.content for m in engine.chat_history] == ["Hello", ANSWER, "And?", ANSWER]


async def test_async_chat_engine(llm: RocmLLM) -> None:
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=ChatMemoryBuffer.from_defaults(llm=llm))
    assert (await engine.achat("Hello")).response == ANSWER
    response = await engine.astream_chat("And?")
    assert "".join([delta async for delta in response.async_response_gen()]) == ANSWER
    assert [m.content for m in engine.chat_history] == ["Hello", ANSWER, "And?", ANSWER]


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize"])
def test_query_engine(llm: RocmLLM, mode: str) -> None:
    index = SummaryIndex.from_documents([Document(text="Llamas hum."), Document(text="And spit.")])
    assert str(index.as_query_engine(llm=llm, response_mode=mode).query("What?")) == ANSWER
    streaming = index.as_query_engine(llm=llm, response_mode=mode, streaming=True)
    response = streaming.query("What?")
    assert isinstance(response, StreamingResponse)
    assert "".join(response.response_gen) == ANSWER


async def test_async_query_engine(llm: RocmLLM) -> None:
    index = SummaryIndex.from_documents([Document(text="Llamas hum.")])
    engine = index.as_query_engine(llm=llm, streaming=True)
    response = await engine.aquery("What?")
    assert isinstance(response, AsyncStreamingResponse)
    assert "".join([delta async for delta in response.async_response_gen()]) == ANSWER


def test_prompts_are_sized_by_the_servers_context(llm: RocmLLM) -> None:
    llm.complete("Hi", max_tokens=1)
    helper = PromptHelper.from_llm_metadata(llm.metadata)
    assert helper.context_window == CONTEXT
    assert helper.num_output == 256
