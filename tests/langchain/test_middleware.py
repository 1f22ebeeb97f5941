"""Agents go on after a call whose arguments are no JSON object: the model is told, no tool runs."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain", reason="pip install langchain runs these")

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from langchain_rocm import ChatRocm
from langchain_rocm.middleware import RetryInvalidCalls
from tests.support.servers.scripts import Body, authored, sent

MALFORMED = ['{"a":1,"b":', '{"a": "', "null", "[1]", '{"a":1,"b":2} and more']


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ASK: Any = {"messages": [HumanMessage("1 + 2?")]}


def learning(text: str) -> Any:
    """A model that calls wrongly, then rightly, then answers."""

    def author(body: Body) -> Body:
        results = [m for m in body["messages"] if m["role"] == "tool"]
        if not results:
            return {"tool_calls": [{"name": "add", "args": text}]}
        if len(results) == 1:
            return {"tool_calls": [{"name": "add", "args": {"a": 1, "b": 2}}]}
        return {"content": f"It is {results[-1]['content']}."}

    return author


@pytest.mark.parametrize("text", MALFORMED)
async def test_the_model_is_told_and_the_run_goes_on(text: str) -> None:
    with authored(learning(text)) as server:
        agent = create_agent(ChatRocm(base_url=server.url), [add], middleware=[RetryInvalidCalls()])
        *_, (_, last) = agent.stream(ASK, stream_mode=["messages", "values"])
        state: Any
        for state in (agent.invoke(ASK), await agent.ainvoke(ASK), last):
            kinds = [type(message) for message in state["messages"]]
            turn = [AIMessage, ToolMessage]
            assert kinds == [HumanMessage, *turn, *turn, AIMessage]
            assert state["messages"][2].status == "error"
            assert repr(text) in state["messages"][2].content
            assert state["messages"][-1].text == "It is 3."
        # The call stays in the history, because its result refers to it.
        turn_sent = sent(server)[1]["messages"][1:3]
        assert turn_sent[0]["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
        assert turn_sent[1]["tool_call_id"] == turn_sent[0]["tool_calls"][0]["id"]


def test_the_other_calls_of_the_answer_run() -> None:
    def author(body: Body) -> Body:
        if body["messages"][-1]["role"] == "tool":
            return {"content": "3."}
        calls = [{"name": "add", "args": '{"a": 1,'}, {"name": "add", "args": {"a": 1, "b": 2}}]
        return {"tool_calls": calls}

    with authored(author) as server:
        agent = create_agent(ChatRocm(base_url=server.url), [add], middleware=[RetryInvalidCalls()])
        messages = agent.invoke(ASK)["messages"]
        results = [m for m in messages if isinstance(m, ToolMessage)]
        assert sorted(result.status for result in results) == ["error", "success"]
        assert messages[-1].text == "3."


def test_a_model_that_never_learns_ends_the_run() -> None:
    with authored(lambda body: {"tool_calls": [{"name": "add", "args": "[1]"}]}) as server:
        agent = create_agent(
            ChatRocm(base_url=server.url), [add], middleware=[RetryInvalidCalls(max_retries=1)]
        )
        messages = agent.invoke(ASK)["messages"]
        assert len(sent(server)) == 2
        assert messages[-1].invalid_tool_calls[0]["args"] == "[1]"


def test_without_the_middleware_no_tool_runs_either() -> None:
    with authored(learning('{"a":1,"b":')) as server:
        messages = create_agent(ChatRocm(base_url=server.url), [add]).invoke(ASK)["messages"]
        assert [type(message) for message in messages] == [HumanMessage, AIMessage]
        assert messages[-1].invalid_tool_calls[0]["args"] == '{"a":1,"b":'
