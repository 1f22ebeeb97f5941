"""A request asks once whether the server is ready, and is one ``GenerationRequest``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_rocm import ChatRocm, RocmEmbeddings, RocmLLM, RocmRerank, errors
from rocm_core import Chat, Completion, Infill
from rocm_core.errors import ServerBusy
from rocm_core.types import ServerProps, StreamEvent, ToolCallDelta, Usage
from tests.support.models.reciter import RECITER
from tests.support.scripted_model import Script, ScriptedConnection, scripted_model

EVENTS = [StreamEvent("a"), StreamEvent("b"), StreamEvent(finish_reason="stop", model="m")]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
JSON = [StreamEvent('{"n": 1}'), StreamEvent(finish_reason="stop", model="m")]


def on(llm: Any, script: Script, props: ServerProps | None = None) -> ScriptedConnection:
    llm._text_model = scripted_model(script, *([props] if props else []))
    connection = llm.text_model.connection
    assert isinstance(connection, ScriptedConnection)
    return connection


async def _gathered(stream: Any) -> list[Any]:
    return [piece async for piece in stream]


ASKS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda llm: llm.invoke("Hi"),
    "stream": lambda llm: list(llm.stream("Hi")),
    "ainvoke": lambda llm: asyncio.run(llm.ainvoke("Hi")),
    "astream": lambda llm: asyncio.run(_gathered(llm.astream("Hi"))),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_chat_asks_once(ask: Callable[[Any], Any]) -> None:
    chat = ChatRocm(model=RECITER)
    connection = on(chat, [EVENTS])
    ask(chat)
    assert connection.ready_calls == 1
    [request] = connection.requests
    assert isinstance(request, Chat) and request.fit_template


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_completion_asks_once(ask: Callable[[Any], Any]) -> None:
    llm = RocmLLM(model=RECITER)
    connection = on(llm, [EVENTS])
    ask(llm)
    assert connection.ready_calls == 1
    [request] = connection.requests
    assert isinstance(request, Completion) and request.prompt == "Hi"


def test_a_suffix_makes_an_infill() -> None:
    llm = RocmLLM(model=RECITER)
    connection = on(llm, [EVENTS])
    assert llm.invoke("Hi", suffix="!", input_extra=[]) == "ab"
    [request] = connection.requests
    assert isinstance(request, Infill)
    assert (request.prefix, request.suffix) == ("Hi", "!")
    assert request.config.extra == {"input_extra": []}


async def test_protocol_events_ask_once() -> None:
    chat = ChatRocm(model=RECITER)
    connection = on(chat, [EVENTS, EVENTS])
    list(chat._stream_chat_model_events([HumanMessage("Hi")]))
    assert connection.ready_calls == 1
    await _gathered(chat._astream_chat_model_events([HumanMessage("Hi")]))
    assert connection.ready_calls == 2


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_each_of_two_steps_asks_once(ask: Callable[[Any], Any]) -> None:
    chat = ChatRocm(model=RECITER)
    connection = on(chat, [EVENTS, JSON])
    ask(chat.bind_tools([TOOL], response_format=FORMAT))
    assert connection.ready_calls == 2
    first, second = connection.requests
    assert isinstance(first, Chat) and isinstance(second, Chat)
    assert first.messages == second.messages
    assert "response_format" not in first.fields
    assert second.fields["response_format"]


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_retry_of_the_second_step_does_not_repeat_the_first(
    ask: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asleep(seconds: float) -> None:
        pass

    monkeypatch.setattr("rocm_core.client.steps.time.sleep", lambda seconds: None)
    monkeypatch.setattr("rocm_core.client.steps.asyncio.sleep", asleep)
    chat = ChatRocm(model=RECITER)
    usage = StreamEvent(usage=Usage(3, 5))
    called = StreamEvent(tool_calls=(ToolCallDelta(0, "1", "f", "{}"),))
    connection = on(chat, [[*EVENTS, usage], [ServerBusy("full")], [called, *EVENTS[2:], usage]])
    ask(chat.bind_tools([TOOL], tool_choice="any"))
    choices = [r.fields["tool_choice"] for r in connection.requests if isinstance(r, Chat)]
    assert len(choices) == 3
    assert choices[1] == choices[2]


def test_what_the_model_cannot_do_is_told_before_anything_is_sent() -> None:
    chat = ChatRocm(model=RECITER)
    facts = ServerProps(0, 4, "", "", "", {"supports_tools": False}, {}, "", {})
    connection = on(chat, [EVENTS], facts)
    with pytest.raises(errors.ConfigError, match="no place for tools"):
        chat.invoke("Hi", tools=[TOOL])
    assert connection.requests == []


def test_counting_asks_once() -> None:
    chat = ChatRocm(model=RECITER)
    connection = on(chat, [])
    counted: list[Any] = []

    def call(request: Any, timeouts: Any = None) -> int:
        counted.append(request)
        return 12

    connection.call = call  # type: ignore[method-assign]
    messages = [SystemMessage("S"), SystemMessage("T"), HumanMessage("Hi")]
    assert chat.get_num_tokens_from_messages(messages, tools=[TOOL]) == 12
    assert connection.ready_calls == 1
    [request] = counted
    assert request.path == "/v1/chat/completions/input_tokens"
    assert [m["role"] for m in request.body["messages"]] == ["system", "user"]
    assert request.body["tools"] == [TOOL]


def test_vectors_and_ranks_ask_once_per_request_after_the_first() -> None:
    embeddings, rerank = RocmEmbeddings(model=RECITER), RocmRerank(model=RECITER, top_n=1)
    embedding, ranking = on(embeddings, []), on(rerank, [])

    def vectors(request: Any, timeouts: Any = None) -> Any:
        return [[0.0] for _ in request.body["input"]]

    embedding.call = vectors  # type: ignore[method-assign]
    ranking.call = lambda request, timeouts=None: [(0, 1.0)]  # type: ignore[method-assign]
    embeddings.embed_query("a")
    assert embedding.ready_calls == 1
    assert len(embeddings.embed_documents(["a", "b"])) == 2
    assert embedding.ready_calls == 2
    assert rerank.rank("q", ["a"])
    assert ranking.ready_calls == 1
