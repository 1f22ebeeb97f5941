"""Requests that no slot had taken are sent again; answers that had begun are not."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_rocm import ChatRocm, RocmLLM, errors
from rocm_core import Chat, Completion
from rocm_core.errors import ServerBusy, ServerLoading, StreamInterrupted
from rocm_core.types import StreamEvent
from tests.support.models.reciter import RECITER
from tests.support.scripted_model import Script, ScriptedConnection, scripted_model

EVENTS = [StreamEvent("a"), StreamEvent("b"), StreamEvent(finish_reason="stop", model="m")]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}


def scripted(script: Script, **options: Any) -> tuple[ChatRocm, ScriptedConnection]:
    chat = ChatRocm(model=RECITER, **options)
    chat._text_model = scripted_model(script)
    return chat, connection_of(chat)


def connection_of(llm: ChatRocm | RocmLLM) -> ScriptedConnection:
    connection = llm.text_model.connection
    assert isinstance(connection, ScriptedConnection)
    return connection


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause, instead of waiting for it."""
    waited: list[float] = []

    async def asleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("rocm_core.client.steps.time.sleep", waited.append)
    monkeypatch.setattr("rocm_core.client.steps.asyncio.sleep", asleep)
    return waited


async def test_an_error_that_passes(pauses: list[float]) -> None:
    script: Script = [[ServerBusy("full")], [ServerLoading("soon")], [*EVENTS]]
    chat, model = scripted(script)
    assert chat.invoke("Hi").text == "ab"
    assert len(model.requests) == 3
    assert pauses == [0.5, 1.0]
    chat, model = scripted(script)
    assert (await chat.ainvoke("Hi")).text == "ab"
    assert len(model.requests) == 3
    assert pauses == [0.5, 1.0] * 2


async def test_an_error_that_stays() -> None:
    busy: Script = [[ServerBusy("full")]] * 4
    chat, model = scripted(busy)
    with pytest.raises(errors.ServerBusy):
        chat.invoke("Hi")
    assert len(model.requests) == 3
    chat, model = scripted(busy, max_retries=0)
    with pytest.raises(errors.ServerBusy):
        await chat.ainvoke("Hi")
    assert len(model.requests) == 1


async def test_an_answer_that_had_begun_is_not_repeated() -> None:
    cut: Script = [[StreamEvent("a"), ServerBusy("full")], [*EVENTS]]
    chat, model = scripted(cut)
    with pytest.raises(errors.ServerBusy):
        list(chat.stream("Hi"))
    assert len(model.requests) == 1
    chat, model = scripted(cut)
    with pytest.raises(errors.ServerBusy):
        [chunk async for chunk in chat.astream("Hi")]
    assert len(model.requests) == 1


def test_other_errors_are_not_retried() -> None:
    chat, model = scripted([[StreamInterrupted("cut")], [*EVENTS]])
    with pytest.raises(errors.StreamInterrupted):
        chat.invoke("Hi")
    assert len(model.requests) == 1


def test_an_empty_stream_is_an_empty_answer() -> None:
    chat, _ = scripted([[]])
    assert chat.invoke("Hi").text == ""


def test_what_is_requested() -> None:
    chat, model = scripted([[*EVENTS]], temperature=0.0, stop=["x"])
    chat.invoke("Hi", model="other", top_k=3, tools=[TOOL], stream=False)
    [request] = model.requests
    assert isinstance(request, Chat)
    config = request.config
    assert {"messages": request.messages, **request.fields} == {
        "messages": [{"role": "user", "content": "Hi"}],
        "model": "other",
        "tools": [TOOL],
        "tool_choice": "auto",
    }
    assert (config.temperature, config.top_k, config.stop) == (0.0, 3, ("x",))
    assert config.max_tokens is None


def test_what_a_completion_requests() -> None:
    llm = RocmLLM(model=RECITER, max_tokens=4)
    llm._text_model = scripted_model([[*EVENTS]])
    assert llm.invoke("Hi", n_probs=2, return_tokens=True, stop=["x"]) == "ab"
    [request] = connection_of(llm).requests
    assert isinstance(request, Completion)
    assert request.prompt == "Hi"
    assert request.config.extra == {"return_tokens": True}
    assert request.config.n_probs == 2
    assert request.config.stop == ("x",)
