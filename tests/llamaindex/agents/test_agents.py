"""LlamaIndex's agents on ``RocmLLM``: each step scripted, to the word of what a model may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_rocm import RocmLLM
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import call, chat, say, script, sent, think

BOTH = pytest.mark.parametrize("streaming", [False, True])


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def memory() -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(token_limit=10_000, tokenizer_fn=str.split)


async def run(agent: Any, task: str, **options: Any) -> tuple[AgentOutput, list[Any]]:
    """The agent's answer, and every event on the way."""
    handler = agent.run(user_msg=task, memory=memory(), **options)
    events = [event async for event in handler.stream_events()]
    return await handler, events


def results(events: list[Any]) -> list[tuple[str, str]]:
    return [
        (event.tool_name, str(event.tool_output.content))
        for event in events
        if isinstance(event, ToolCallResult)
    ]


TWO_TOOLS = [
    chat(think("First the sum."), call("add", a=2, b=3)),
    chat(call("multiply", a=5, b=4)),
    chat(say("It is 20.")),
]


@BOTH
async def test_function_agent(scripted_llm: RocmLLM, server: FakeServer, streaming: bool) -> None:
    script(server, *TWO_TOOLS)
    agent = FunctionAgent(
        tools=[add, multiply], llm=scripted_llm, system_prompt="Calculate.", streaming=streaming
    )
    output, events = await run(agent, "(2+3)*4?")
    assert str(output) == "It is 20."
    assert results(events) == [("add", "5"), ("multiply", "20")]
    turns = sent(server)[2]["messages"]
    assert [turn["role"] for turn in turns] == [
        *("system", "user"),
        *("assistant", "tool", "assistant", "tool"),
    ]
    assert turns[2]["tool_calls"][0]["id"] == turns[3]["tool_call_id"]
    assert turns[4]["tool_calls"][0]["id"] == turns[5]["tool_call_id"]
    assert (turns[3]["content"], turns[5]["content"]) == ("5", "20")
    assert output.raw is not None
    assert output.raw["usage"]["prompt_tokens"] == 21


async def test_streams_of_an_agent(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(server, *TWO_TOOLS)
    _, events = await run(FunctionAgent(tools=[add, multiply], llm=scripted_llm), "(2+3)*4?")
    streams = [event for event in events if isinstance(event, AgentStream)]
    assert "".join(event.thinking_delta or "" for event in streams) == "First the sum."
    assert "".join(event.delta for event in streams) == "It is 20."
    # While a call is written, agents show what there is of it.
    partial = [event.tool_calls[0].tool_kwargs for event in streams if event.tool_calls]
    assert {"a": 2} in partial and {"a": 2, "b": 3} in partial
    assert all(isinstance(event.raw, dict) for event in streams)


@BOTH
async def test_parallel_calls(scripted_llm: RocmLLM, server: FakeServer, streaming: bool) -> None:
    both = chat(call("add", a=1, b=1), call("add", index=1, a=2, b=2))
    script(server, both, chat(say("2 and 4.")))
    agent = FunctionAgent(tools=[add], llm=scripted_llm, streaming=streaming)
    output, events = await run(agent, "Sums?")
    assert str(output) == "2 and 4."
    assert results(events) == [("add", "2"), ("add", "4")]
    results_sent = [m for m in sent(server)[1]["messages"] if m["role"] == "tool"]
    assert len({message["tool_call_id"] for message in results_sent}) == 2
    assert sent(server)[0]["parallel_tool_calls"] is True


async def test_the_first_tool_may_be_forced(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(server, chat(say('{"a": 1, "b": 2}')), chat(say("3.")))
    agent = FunctionAgent(tools=[add, multiply], llm=scripted_llm, initial_tool_choice="add")
    output, events = await run(agent, "Anything?")
    assert results(events) == [("add", "3")]
    assert str(output) == "3."
    first, second = sent(server)
    assert "response_format" in first
    assert second["tool_choice"] == "auto" and "response_format" not in second


async def test_an_answer_that_is_the_tools_own(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(server, chat(call("add", a=2, b=3)))
    tool = FunctionTool.from_defaults(add, return_direct=True)
    output, _ = await run(FunctionAgent(tools=[tool], llm=scripted_llm), "2+3?")
    assert str(output) == "5"
    assert len(sent(server)) == 1


async def test_an_answer_of_thoughts_alone(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(server, chat(think("Hm.")))
    output, events = await run(FunctionAgent(tools=[add], llm=scripted_llm), "Well?")
    assert output.response.content == ""
    deltas = [event.thinking_delta for event in events if isinstance(event, AgentStream)]
    assert "".join(delta or "" for delta in deltas) == "Hm."


async def test_a_structured_answer(scripted_llm: RocmLLM, server: FakeServer) -> None:
    class Result(BaseModel):
        value: int

    script(server, *TWO_TOOLS, chat(say('{"value": 20}')))
    agent = FunctionAgent(tools=[add, multiply], llm=scripted_llm, output_cls=Result)
    output, _ = await run(agent, "(2+3)*4?")
    assert output.get_pydantic_model(Result) == Result(value=20)
    assert "response_format" in sent(server)[-1]


async def test_agent_workflow_hands_over(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(
        server,
        chat(call("handoff", to_agent="Multiplier", reason="to multiply")),
        chat(call("multiply", a=5, b=4)),
        chat(say("It is 20.")),
    )
    adder = FunctionAgent(
        name="Adder", description="Adds.", tools=[add], llm=scripted_llm,
        can_handoff_to=["Multiplier"],
    )  # fmt: skip
    multiplier = FunctionAgent(
        name="Multiplier", description="Multiplies.", tools=[multiply], llm=scripted_llm
    )
    output, events = await run(AgentWorkflow(agents=[adder, multiplier], root_agent="Adder"), "?")
    assert str(output) == "It is 20."
    assert output.current_agent_name == "Multiplier"
    assert [name for name, _ in results(events)] == ["handoff", "multiply"]


async def test_agent_workflow_chooses_by_the_models_template(
    scripted_llm: RocmLLM, server: FakeServer, tmp_path: Path
) -> None:
    script(server, *TWO_TOOLS)
    workflow = AgentWorkflow.from_tools_or_functions([add, multiply], llm=scripted_llm)
    assert isinstance(workflow.agents["Agent"], FunctionAgent)
    output, _ = await run(workflow, "(2+3)*4?")
    assert str(output) == "It is 20."
    plain = "{{ messages[0].content }}"
    file = tmp_path / "tools.jinja"
    file.write_text(plain)
    for without in (
        RocmLLM(model=RECITER, chat_template=plain),
        RocmLLM(model=RECITER, chat_template=str(file)),
        RocmLLM(model=RECITER, chat_template_file=str(file)),
    ):
        workflow = AgentWorkflow.from_tools_or_functions([add], llm=without)
        assert isinstance(workflow.agents["Agent"], ReActAgent)


@BOTH
async def test_react_agent(scripted_llm: RocmLLM, server: FakeServer, streaming: bool) -> None:
    script(
        server,
        chat(say('Thought: Sum.\nAction: add\nAction Input: {"a": 2, "b": 3}')),
        chat(say('Thought: Times.\nAction: multiply\nAction Input: {"a": 5, "b": 4}')),
        chat(say("Thought: I can answer.\nAnswer: It is 20.")),
    )
    agent = ReActAgent(tools=[add, multiply], llm=scripted_llm, streaming=streaming)
    output, events = await run(agent, "(2+3)*4?")
    assert str(output) == "It is 20."
    assert results(events) == [("add", "5"), ("multiply", "20")]
    assert "tools" not in sent(server)[0]
    assert "Observation: 5" in sent(server)[1]["messages"][-1]["content"]


@BOTH
async def test_code_act_agent(scripted_llm: RocmLLM, server: FakeServer, streaming: bool) -> None:
    ran: list[str] = []

    def execute(code: str) -> str:
        ran.append(code)
        return "20"

    script(server, chat(say("<execute>\nprint(20)\n</execute>")), chat(say("It is 20.")))
    agent = CodeActAgent(
        tools=[add], llm=scripted_llm, code_execute_fn=execute, streaming=streaming
    )
    output, _ = await run(agent, "(2+3)*4?")
    assert str(output) == "It is 20."
    assert [code.strip() for code in ran] == ["print(20)"]


def test_history_of_the_caller_is_not_changed(scripted_llm: RocmLLM) -> None:
    history = [ChatMessage("Before.")]
    scripted_llm.predict_and_call(
        [FunctionTool.from_defaults(add)], "Go.", history, error_on_no_tool_call=False
    )
    assert history == [ChatMessage("Before.")]
