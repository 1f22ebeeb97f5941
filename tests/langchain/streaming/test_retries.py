"""Requests that no slot had taken are sent again; answers that had begun are not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from langchain_rocm import ChatRocm, RocmLLM, errors
from rocm_core.errors import RocmError, ServerBusy, ServerLoading, StreamInterrupted
from rocm_core.types import ServerProps, StreamEvent
from tests.support.models.reciter import RECITER

EVENTS = [StreamEvent("a"), StreamEvent("b"), StreamEvent(finish_reason="stop", model="m")]
PROPS = ServerProps(0, 0, "", "", "", {}, {}, "", {})
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
Script = list[list[StreamEvent | RocmError]]


class ScriptedModel:
    """Stands in for ``TextModel``: each request plays the next script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.connection = self.template = self

    def ready(self) -> ServerProps:
        return PROPS

    async def aready(self) -> ServerProps:
        return PROPS

    def fit(self, messages: Any) -> Any:
        return messages

    async def afit(self, messages: Any) -> Any:
        return messages

    def chat_events(
        self, messages: Any, config: Any, **fields: Any
    ) -> Generator[StreamEvent, None, None]:
        self.requests.append({"messages": messages, "config": config, **fields})
        for step in self.script[len(self.requests) - 1]:
            if isinstance(step, RocmError):
                raise step
            yield step

    async def achat_events(
        self, messages: Any, config: Any, **fields: Any
    ) -> AsyncGenerator[StreamEvent, None]:
        for event in self.chat_events(messages, config, **fields):
            yield event

    def completion_events(self, prompt: str, config: Any) -> Generator[StreamEvent, None, None]:
        return self.chat_events(prompt, config)

    props = None


def scripted(script: Script, **options: Any) -> tuple[ChatRocm, ScriptedModel]:
    chat = ChatRocm(model=RECITER, **options)
    model = ScriptedModel(script)
    chat._text_model = model  # type: ignore[assignment]
    return chat, model


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause, instead of waiting for it."""
    waited: list[float] = []

    async def asleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("langchain_rocm.options.time.sleep", waited.append)
    monkeypatch.setattr("langchain_rocm.options.asyncio.sleep", asleep)
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
    config = request.pop("config")
    assert request == {
        "messages": [{"role": "user", "content": "Hi"}],
        "model": "other",
        "tools": [TOOL],
        "tool_choice": "auto",
    }
    assert (config.temperature, config.top_k, config.stop) == (0.0, 3, ("x",))
    assert config.max_tokens is None


def test_what_a_completion_requests() -> None:
    llm = RocmLLM(model=RECITER, max_tokens=4)
    model = ScriptedModel([[*EVENTS]])
    llm._text_model = model  # type: ignore[assignment]
    assert llm.invoke("Hi", n_probs=2, stop=["x"]) == "ab"
    [request] = model.requests
    assert request["messages"] == "Hi"
    assert request["config"].extra == {"n_probs": 2}
    assert request["config"].stop == ("x",)
