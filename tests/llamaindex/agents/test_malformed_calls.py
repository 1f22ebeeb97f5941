"""Calls whose arguments are no JSON object: agents tell the model and go on, and run nothing."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool

from llama_index_rocm import RocmLLM
from rocm_core.errors import InvalidAnswer
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import call, chat, raw_call, say, script, sent

BOTH = pytest.mark.parametrize("streaming", [False, True])
MALFORMED = [
    '{"a":1,"a":2}',
    '{"a":1,"b":',
    '{"a": "/home',
    '{"x": ',
    "null",
    "[1]",
    '{"a":1,"b":2} and more',
]
ran: list[dict[str, Any]] = []


def anything(**arguments: Any) -> str:
    """Take whatever comes, as tools of an MCP server do."""
    ran.append(arguments)
    return "5"


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


async def run(agent: Any) -> tuple[AgentOutput, list[ToolCallResult]]:
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000, tokenizer_fn=str.split)
    handler = agent.run(user_msg="2 + 3?", memory=memory)
    events = [event async for event in handler.stream_events()]
    return await handler, [event for event in events if isinstance(event, ToolCallResult)]


@BOTH
@pytest.mark.parametrize("text", MALFORMED)
async def test_the_model_is_told_and_the_run_goes_on(
    scripted_llm: RocmLLM, server: FakeServer, text: str, streaming: bool
) -> None:
    script(
        server,
        chat(raw_call("anything", text, id_="bad")),
        chat(call("anything", a=2, b=3)),
        chat(say("It is 5.")),
    )
    agent = FunctionAgent(tools=[anything], llm=scripted_llm, streaming=streaming)
    output, results = await run(agent)
    assert str(output) == "It is 5."
    assert ran == [{"a": 2, "b": 3}]
    assert [result.tool_output.is_error for result in results] == [True, False]
    assert results[0].tool_kwargs == {"invalid_arguments": text}
    turn = sent(server)[1]["messages"][1:3]
    assert turn[0]["tool_calls"][0]["function"] == {"name": "anything", "arguments": "{}"}
    assert turn[1]["tool_call_id"] == turn[0]["tool_calls"][0]["id"] == "bad"
    assert repr(text) in turn[1]["content"] and "one complete JSON object" in turn[1]["content"]


async def test_a_workflow_of_agents_and_the_other_calls_of_the_answer(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    both = chat(raw_call("anything", '{"a":'), call("anything", index=1, a=2))
    script(server, both, chat(say("Done.")))
    agent = FunctionAgent(name="A", description="a", tools=[anything], llm=scripted_llm)
    output, results = await run(AgentWorkflow(agents=[agent], root_agent="A"))
    assert str(output) == "Done."
    assert ran == [{"a": 2}]
    assert [result.tool_output.is_error for result in results] == [True, False]


@BOTH
@pytest.mark.parametrize("name", ["", " "])
async def test_a_call_without_a_name_runs_nothing(
    scripted_llm: RocmLLM, server: FakeServer, name: str, streaming: bool
) -> None:
    nameless = chat(raw_call(name, '{"a": 1}', id_="bad"))
    script(server, nameless, chat(call("anything", a=2)), chat(say("Done.")), nameless)
    agent = FunctionAgent(tools=[anything], llm=scripted_llm, streaming=streaming)
    output, results = await run(agent)
    assert str(output) == "Done."
    assert ran == [{"a": 2}]
    assert [result.tool_output.is_error for result in results] == [True, False]
    assert "names no tool" in sent(server)[1]["messages"][2]["content"]
    with pytest.raises(InvalidAnswer, match="names no tool"):
        scripted_llm.predict_and_call([FunctionTool.from_defaults(anything)], "Go.")


@BOTH
@pytest.mark.parametrize("text", MALFORMED[1:6])
async def test_a_react_agent_is_told_by_its_own_parser(
    scripted_llm: RocmLLM, server: FakeServer, text: str, streaming: bool
) -> None:
    script(
        server,
        chat(say(f"Thought: Sum.\nAction: anything\nAction Input: {text}")),
        chat(say('Thought: Sum.\nAction: anything\nAction Input: {"a": 2, "b": 3}')),
        chat(say("Thought: I can answer.\nAnswer: It is 5.")),
    )
    agent = ReActAgent(tools=[anything], llm=scripted_llm, streaming=streaming)
    output, _ = await run(agent)
    assert str(output) == "It is 5."
    assert ran == [{"a": 2, "b": 3}]


@BOTH
async def test_the_answer_keeps_the_text(
    scripted_llm: RocmLLM, server: FakeServer, streaming: bool
) -> None:
    script(server, chat(raw_call("anything", '{"a":1,"b":')))
    tools = [FunctionTool.from_defaults(anything)]
    if streaming:
        *_, response = scripted_llm.stream_chat_with_tools(tools, "Go.")
    else:
        response = await scripted_llm.achat_with_tools(tools, "Go.")
    [block] = response.message.blocks
    assert isinstance(block, ToolCallBlock) and block.tool_kwargs == '{"a":1,"b":'


async def test_who_wants_a_call_that_runs_gets_an_error(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    script(server, *[chat(raw_call("anything", '{"a":1,"b":'))] * 2)
    tools = [FunctionTool.from_defaults(anything)]
    with pytest.raises(
        InvalidAnswer, match="'anything': the arguments are no JSON object"
    ) as caught:
        scripted_llm.predict_and_call(tools, "Go.")
    assert caught.value.text == '{"a":1,"b":'
    with pytest.raises(InvalidAnswer):
        await scripted_llm.apredict_and_call(tools, "Go.")
    assert ran == []
