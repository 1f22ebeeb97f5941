"""Agents and graphs: LangChain's ``create_agent``, LangGraph, and the middleware that counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain", reason="pip install langchain runs these")

from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel, Field

from langchain_rocm import ChatRocm
from tests.support.models.reciter import ANSWER, PIECES
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import Body, authored, sent


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: rain"


class Report(BaseModel):
    """A weather report."""

    city: str = Field(max_length=10)
    degrees: int


def knowing(body: Body) -> Body:
    """Looks the weather up, then tells it; in a schema if there is one."""
    if "response_format" in body and body.get("tool_choice") in (None, "none"):
        return {"content": '{"city": "Zürich", "degrees": 12}'}
    names = [each["function"]["name"] for each in body.get("tools", ())]
    if body["messages"][-1]["role"] == "user" and "weather" in names:
        return {
            "reasoning_content": "I must look.",
            "tool_calls": [{"name": "weather", "args": {"city": "Zürich"}}],
        }
    if "Report" in names:
        return {"tool_calls": [{"name": "Report", "args": {"city": "Zürich", "degrees": 12}}]}
    return {"content": "It rains in Zürich."}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with authored(knowing) as server:
        yield server


ASK: Any = {"messages": [HumanMessage("How is the weather in Zürich?")]}


# ---------------------------------------------------------------------------
# create_agent, with a server that understands
# ---------------------------------------------------------------------------


async def test_an_agent_calls_its_tool_and_answers(server: FakeServer) -> None:
    agent = create_agent(ChatRocm(base_url=server.url), [weather], system_prompt="Be brief.")
    for state in (agent.invoke(ASK), await agent.ainvoke(ASK)):
        kinds = [type(message) for message in state["messages"]]
        assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert state["messages"][2].content == "Zürich: rain"
        assert state["messages"][3].text == "It rains in Zürich."
    # What the model thought goes back within the tool loop.
    assert sent(server)[1]["messages"][2]["reasoning_content"] == "I must look."


@pytest.mark.parametrize("strategy", [Report, ProviderStrategy(Report), ToolStrategy(Report)])
async def test_tools_and_a_response_format_together(server: FakeServer, strategy: Any) -> None:
    agent = create_agent(ChatRocm(base_url=server.url), [weather], response_format=strategy)
    for state in (agent.invoke(ASK), await agent.ainvoke(ASK)):
        assert state["structured_response"] == Report(city="Zürich", degrees=12)
        assert any(isinstance(message, ToolMessage) for message in state["messages"])


async def test_an_agent_streams_its_tokens(server: FakeServer) -> None:
    agent = create_agent(ChatRocm(base_url=server.url), [weather])
    texts = []
    for chunk, _ in agent.stream(ASK, stream_mode="messages"):
        if isinstance(chunk, AIMessageChunk):
            texts.append(chunk.text)
    assert "".join(texts) == "It rains in Zürich."
    assert len([text for text in texts if text]) > 2
    updates = [step async for step in agent.astream(ASK, stream_mode="updates")]
    assert [next(iter(step)) for step in updates] == ["model", "tools", "model"]


def test_retries_know_what_may_pass() -> None:
    answers = iter([{"content": "I would rather talk."}] * 2)

    def stubborn(body: Body) -> Body:
        if body.get("tool_choice") == "required":
            return next(
                answers, {"tool_calls": [{"name": "Report", "args": {"city": "a", "degrees": 1}}]}
            )
        return {"content": "x"}

    with authored(stubborn) as server:
        agent = create_agent(
            ChatRocm(base_url=server.url),
            response_format=ToolStrategy(Report),
            middleware=[ModelRetryMiddleware(max_retries=2, initial_delay=0)],
        )
        assert agent.invoke(ASK)["structured_response"].city == "a"


# ---------------------------------------------------------------------------
# The real engines
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Report, ProviderStrategy(Report), ToolStrategy(Report)])
async def test_a_schema_holds_on_the_real_engines(chat: ChatRocm, strategy: Any) -> None:
    brief = chat.model_copy(update={"max_tokens": 100})
    agent = create_agent(brief, response_format=strategy)
    assert isinstance(agent.invoke(ASK)["structured_response"], Report)
    assert isinstance((await agent.ainvoke(ASK))["structured_response"], Report)
    brief.close()


@pytest.mark.parametrize("strategy", [Report, ProviderStrategy(Report)])
async def test_a_schema_beside_tools_on_the_real_engines(chat: ChatRocm, strategy: Any) -> None:
    agent = create_agent(chat, [weather], response_format=strategy)
    assert isinstance(agent.invoke(ASK)["structured_response"], Report)
    assert isinstance((await agent.ainvoke(ASK))["structured_response"], Report)


def test_a_call_is_required_in_each_turn_of_a_tool_strategy(chat: ChatRocm) -> None:
    """The demo model calls the first tool again and again."""
    brief = chat.model_copy(update={"max_tokens": 100})
    limit: Any = ModelCallLimitMiddleware(run_limit=2, exit_behavior="end")
    format_ = ToolStrategy(Report)
    agent = create_agent(brief, [weather], response_format=format_, middleware=[limit])
    answers = [m for m in agent.invoke(ASK)["messages"] if m.type == "ai" and m.usage_metadata]
    assert answers and all(answer.tool_calls for answer in answers)
    brief.close()


async def test_a_tool_is_run_and_its_result_goes_back(chat: ChatRocm) -> None:
    def model(state: MessagesState) -> dict[str, Any]:
        done = state["messages"][-1].type == "tool"
        bound = chat if done else chat.bind_tools([weather], tool_choice="weather")
        return {"messages": [bound.invoke(state["messages"])]}

    def tools(state: MessagesState) -> dict[str, Any]:
        [call] = state["messages"][-1].tool_calls  # type: ignore[union-attr]
        return {"messages": [weather.invoke(call)]}

    def done(state: MessagesState) -> str:
        return "tools" if state["messages"][-1].tool_calls else END  # type: ignore[union-attr]

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", done, ["tools", END])
    graph.add_edge("tools", "model")
    app = graph.compile()

    modes: Any = ["messages", "updates", "values"]
    seen: dict[str, list[Any]] = {"messages": [], "updates": [], "values": []}
    for mode, item in app.stream(ASK, stream_mode=modes):
        seen[mode].append(item)
    answer = [c.text for c, _ in seen["messages"] if isinstance(c, AIMessageChunk) and c.text]
    assert answer == list(PIECES)
    assert [next(iter(step)) for step in seen["updates"]] == ["model", "tools", "model"]
    assert seen["values"][-1]["messages"][-1].text == ANSWER
    final = await app.ainvoke(ASK)
    assert [m.type for m in final["messages"]] == ["human", "ai", "tool", "ai"]
    usage = final["messages"][-1].usage_metadata
    assert usage and usage["input_tokens"] > 0


def test_an_agent_on_the_real_engines_streams(chat: ChatRocm) -> None:
    agent = create_agent(chat, [weather])
    texts = [
        chunk.text
        for chunk, _ in agent.stream(ASK, stream_mode="messages")
        if isinstance(chunk, AIMessageChunk) and chunk.text
    ]
    assert texts == list(PIECES)
    assert agent.invoke(ASK)["messages"][-1].text == ANSWER


# ---------------------------------------------------------------------------
# Middleware that counts
# ---------------------------------------------------------------------------

LONG: Any = {
    "messages": [
        HumanMessage("x" * 500),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "a"}, "id": "1"}]),
        ToolMessage("y" * 2000, tool_call_id="1"),
        AIMessage("z"),
        HumanMessage("And now?"),
    ]
}


@pytest.mark.parametrize("trigger", [("fraction", 0.05), ("tokens", 500)])
def test_summarization_fires_by_our_profile(chat: ChatRocm, trigger: Any) -> None:
    summarizing = SummarizationMiddleware(chat, trigger=trigger, keep=("messages", 1))
    agent = create_agent(chat, middleware=[summarizing])
    first, *_ = agent.invoke(LONG)["messages"]
    assert "summary" in first.text.lower() and ANSWER[:20] in first.text


def test_summarization_fires_by_the_tokens_we_report(chat: ChatRocm) -> None:
    """It compares ``ls_provider`` with the ``model_provider`` of the last answer."""
    counted = chat.invoke("Hi", max_tokens=1)
    assert counted.usage_metadata is not None
    counted.usage_metadata["total_tokens"] = 100_000
    summarizing = SummarizationMiddleware(chat, trigger=("tokens", 50_000), keep=("messages", 1))
    agent = create_agent(chat, middleware=[summarizing])
    state = agent.invoke({"messages": [HumanMessage("Hi"), counted, HumanMessage("Ho")]})
    assert "summary" in state["messages"][0].text.lower()


def test_old_tool_results_are_cleared_by_our_count(chat: ChatRocm, server: FakeServer) -> None:
    edit = ClearToolUsesEdit(trigger=1000, keep=0, placeholder="[cleared]")
    editing = ContextEditingMiddleware(edits=[edit], token_count_method="model")
    agent = create_agent(chat, [weather], middleware=[editing])
    usage = agent.invoke(LONG)["messages"][-1].usage_metadata
    assert usage["input_tokens"] < 1500  # 2,000 characters of the result are gone
