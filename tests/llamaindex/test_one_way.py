"""A request asks once whether the server is ready, and is one ``GenerationRequest``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from llama_index_rocm import RocmEmbedding, RocmLLM
from rocm_core import Chat, Completion
from rocm_core.errors import ServerBusy
from rocm_core.types import StreamEvent
from tests.support.models.reciter import RECITER
from tests.support.scripted_model import Script, ScriptedConnection, scripted_model

EVENTS = [StreamEvent("a"), StreamEvent("b"), StreamEvent(finish_reason="stop", model="m")]
SAID = [ChatMessage(role="user", content="Hi")]


def on(component: Any, script: Script) -> ScriptedConnection:
    component._text_model = scripted_model(script)
    connection = component.text_model.connection
    assert isinstance(connection, ScriptedConnection)
    return connection


async def _gathered(stream: Any) -> list[Any]:
    return [piece async for piece in await stream]


CHATS: dict[str, Callable[[RocmLLM], Any]] = {
    "chat": lambda llm: llm.chat(SAID),
    "stream_chat": lambda llm: list(llm.stream_chat(SAID)),
    "achat": lambda llm: asyncio.run(llm.achat(SAID)),
    "astream_chat": lambda llm: asyncio.run(_gathered(llm.astream_chat(SAID))),
    "complete": lambda llm: llm.complete("Hi"),
    "acomplete": lambda llm: asyncio.run(llm.acomplete("Hi")),
}
PROMPTS: dict[str, Callable[[RocmLLM], Any]] = {
    "complete": lambda llm: llm.complete("Hi", formatted=True),
    "stream_complete": lambda llm: list(llm.stream_complete("Hi", formatted=True)),
    "acomplete": lambda llm: asyncio.run(llm.acomplete("Hi", formatted=True)),
    "astream_complete": lambda llm: asyncio.run(
        _gathered(llm.astream_complete("Hi", formatted=True))
    ),
}


@pytest.mark.parametrize("ask", CHATS.values(), ids=CHATS)
def test_a_chat_asks_once(ask: Callable[[RocmLLM], Any]) -> None:
    llm = RocmLLM(model=RECITER)
    connection = on(llm, [EVENTS])
    ask(llm)
    assert connection.ready_calls == 1
    [request] = connection.requests
    assert isinstance(request, Chat) and request.fit_template
    assert request.messages == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("ask", PROMPTS.values(), ids=PROMPTS)
def test_a_formatted_prompt_asks_once(ask: Callable[[RocmLLM], Any]) -> None:
    llm = RocmLLM(model=RECITER)
    connection = on(llm, [EVENTS])
    ask(llm)
    assert connection.ready_calls == 1
    [request] = connection.requests
    assert isinstance(request, Completion) and request.prompt == "Hi"


@pytest.mark.parametrize("ask", [*CHATS.values(), *PROMPTS.values()], ids=[*CHATS, *PROMPTS])
def test_a_busy_server_is_told_not_asked_again(ask: Callable[[RocmLLM], Any]) -> None:
    llm = RocmLLM(model=RECITER)
    connection = on(llm, [[ServerBusy("full")], EVENTS])
    with pytest.raises(ServerBusy):
        ask(llm)
    assert len(connection.requests) == 1


def test_vectors_ask_once() -> None:
    embedding = RocmEmbedding(model=RECITER)
    connection = on(embedding, [])

    def vectors(request: Any, timeouts: Any = None) -> Any:
        return [[0.0] for _ in request.body["input"]]

    connection.call = vectors  # type: ignore[method-assign]
    assert embedding.get_text_embedding_batch(["a", "b"]) == [[0.0], [0.0]]
    assert connection.ready_calls == 1
