"""Reasoning: out of answers, into requests, and back into the next turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_rocm import ChatRocm
from langchain_rocm.conversion.messages import request_messages
from tests.support.servers.fake_server import FakeServer, answer, stream
from tests.support.servers.scripts import Body, authored, sent

THOUGHT, TEXT = "The user says hi.\n", "Hi there ✓"


def thinking(body: Body) -> Body:
    return {"reasoning_content": THOUGHT, "content": TEXT}


@pytest.fixture
def thinker() -> Iterator[FakeServer]:
    with authored(thinking) as server:
        yield server


def kinds(message: AIMessage) -> list[str]:
    return [block["type"] for block in message.content_blocks]


@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_it_arrives_as_a_block_of_its_own(thinker: FakeServer, version: str) -> None:
    chat = ChatRocm(base_url=thinker.url, output_version=version)
    chunks = list(chat.stream("Hi"))
    achunks = [chunk async for chunk in chat.astream("Hi")]
    answers = [
        chat.invoke("Hi"),
        await chat.ainvoke("Hi"),
        chunks[0] + chunks[1:],
        achunks[0] + achunks[1:],
        chat.stream_events("Hi", version="v3").output,
        await (await chat.astream_events("Hi", version="v3")).output,
    ]
    for message in answers:
        assert kinds(message) == ["reasoning", "text"]
        assert message.content_blocks[0]["reasoning"] == THOUGHT
        assert message.text == TEXT
    assert not any(len(kinds(chunk)) > 1 for chunk in chunks)


def test_a_recorded_stream_of_a_real_server() -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        server.script("/v1/chat/completions", stream("chat_stream_reasoning.b11434"))
        message = ChatRocm(base_url=server.url).invoke("Hi")
    assert kinds(message) == ["reasoning", "text"]
    assert message.text == TEXT


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"reasoning": True}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ({"reasoning": False}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"reasoning": "high"}, {"reasoning_effort": "high"}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ({"reasoning_budget": 0}, {"reasoning_budget_tokens": 0}),
        ({}, {}),
    ],
)
def test_switches_per_instance_and_per_call(
    thinker: FakeServer, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    fields = {"chat_template_kwargs", "reasoning_effort", "reasoning_budget_tokens"}
    ChatRocm(base_url=thinker.url).invoke("Hi", **given)
    if "reasoning_effort" not in given:
        ChatRocm(base_url=thinker.url, **given).invoke("Hi")
    for body in sent(thinker):
        assert {name: value for name, value in body.items() if name in fields} == expected


def test_template_variables_of_a_call_go_over_those_of_the_instance(
    thinker: FakeServer,
) -> None:
    chat = ChatRocm(base_url=thinker.url, chat_template_kwargs={"a": 1, "b": 1}, reasoning=True)
    chat.invoke("Hi", chat_template_kwargs={"b": 2}, reasoning=False)
    assert sent(thinker)[0]["chat_template_kwargs"] == {"a": 1, "b": 2, "enable_thinking": False}


# ---------------------------------------------------------------------------
# Sent back
# ---------------------------------------------------------------------------

CALL = {"name": "f", "args": {}, "id": "c"}
OLD = AIMessage("Hello", additional_kwargs={"reasoning_content": "old"})
IN_LOOP = AIMessage("", tool_calls=[CALL], additional_kwargs={"reasoning_content": "new"})
BLOCKS = AIMessage([{"type": "reasoning", "reasoning": "new"}], tool_calls=[CALL])
HISTORY = [HumanMessage("1"), OLD, HumanMessage("2"), IN_LOOP, ToolMessage("3", tool_call_id="c")]


def replayed(reasoning: bool | None, *more: Any) -> list[Any]:
    sent = request_messages([*HISTORY, *more], reasoning=reasoning)
    return [m.get("reasoning_content") for m in sent if m["role"] == "assistant"]


def test_thoughts_of_the_running_tool_loop_go_back() -> None:
    assert replayed(None) == [None, "new"]
    assert replayed(True) == ["old", "new"]
    assert replayed(False) == [None, None]
    assert replayed(None, AIMessage("5"), HumanMessage("4")) == [None, None, None]


def test_thoughts_in_blocks_go_back_too() -> None:
    assert request_messages([BLOCKS])[0]["reasoning_content"] == "new"
    assert request_messages([BLOCKS])[0]["content"] == ""


@pytest.mark.parametrize(
    ("option", "preserves", "expected"),
    [(None, False, [None, "new"]), (None, True, ["old", "new"]), (False, True, [None, None])],
)
def test_a_template_that_keeps_thoughts_gets_them(
    option: bool | None, preserves: bool, expected: list[Any]
) -> None:
    props = {"chat_template_caps": {"supports_preserve_reasoning": preserves}}
    with authored(thinking, props) as server:
        ChatRocm(base_url=server.url, replay_reasoning=option).invoke(HISTORY)
        messages = sent(server)[0]["messages"]
    assert [m.get("reasoning_content") for m in messages if m["role"] == "assistant"] == expected
