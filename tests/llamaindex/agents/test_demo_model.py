"""Agents on real engines: forced steps with any model, and whole tasks with one that knows tools.

The tasks run on the model of the fixture ``trained``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from llama_index.core.agent.react.formatter import ReActChatFormatter
from llama_index.core.agent.workflow import (
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.memory import ChatMemoryBuffer

from llama_index_rocm import RocmLLM
from rocm_core import GenerateConfig, TextModel
from tests.support.models.reciter import RECITER
from tests.support.models.trained import TRAINED
from training.demo_model.data.react import HEADER

BOTH = pytest.mark.parametrize("streaming", [False, True])
TASK = "First what is the weather in Oslo, then set a timer for 10 minutes"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def get_weather(city: str) -> str:
    """Get the weather in a city"""
    return f"sunny in {city}, 21 degrees"


def set_timer(minutes: int) -> str:
    """Start a timer"""
    return f"{minutes} minutes"


async def run(agent: Any, task: str) -> tuple[str, list[str]]:
    memory = ChatMemoryBuffer.from_defaults(token_limit=2000, tokenizer_fn=str.split)
    handler = agent.run(user_msg=task, memory=memory)
    called = [e.tool_name async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
    return str(await handler), called


# -- any model --------------------------------------------------------------------------------


@BOTH
async def test_function_agent_with_a_forced_first_tool(llm: RocmLLM, streaming: bool) -> None:
    agent = FunctionAgent(tools=[add], llm=llm, initial_tool_choice="add", streaming=streaming)
    answer, called = await run(agent, "Hello")
    assert called == ["add"]
    assert answer


class InReactForm(RocmLLM):
    """Each answer is held to the next step by a grammar; the engine writes it."""

    steps: list[str]

    def generate_config(
        self, options: Mapping[str, Any], *, chat: bool = True
    ) -> tuple[GenerateConfig, dict[str, Any]]:
        return super().generate_config({**options, "grammar": self.steps.pop(0)}, chat=chat)


@BOTH
async def test_react_agent_in_steps_held_by_a_grammar(engine: Any, streaming: bool) -> None:
    number = r"[1-9]"
    act = rf'root ::= "Thought: Sum.\nAction: add\nAction Input: {{\"a\": " {number} ", \"b\": 3}}"'
    end = r'root ::= "Thought: I can answer.\nAnswer: Done " [1-9] "."'
    llm = InReactForm(model=RECITER, engine=engine, context_len=4096, steps=[act, act, end])
    try:
        agent = ReActAgent(tools=[add], llm=llm, streaming=streaming)
        answer, called = await run(agent, "Hello")
        assert called == ["add", "add"]
        assert answer.startswith("Done ")
    finally:
        llm.close()


# -- a model that knows tools -------------------------------------------------------------------


@pytest.fixture(scope="module")
def knowing(engine: Any, trained: TextModel) -> Iterator[RocmLLM]:
    llm = RocmLLM(model=TRAINED, engine=engine, temperature=0, max_tokens=300)
    llm.text_model.load()
    yield llm
    llm.close()


@BOTH
async def test_function_agent_finishes_a_task_with_two_tools(
    knowing: RocmLLM, streaming: bool
) -> None:
    agent = FunctionAgent(tools=[get_weather, set_timer], llm=knowing, streaming=streaming)
    answer, called = await run(agent, TASK)
    assert called == ["get_weather", "set_timer"]
    assert "10 minutes" in answer


@BOTH
async def test_react_agent_finishes_a_task_with_two_tools(
    knowing: RocmLLM, streaming: bool
) -> None:
    """With a header that a tiny model can hold in mind; LlamaIndex's own has 350 words."""
    header = HEADER.replace("{tools}", "{tool_desc}").replace("{names}", "{tool_names}")
    formatter = ReActChatFormatter(system_header=header)
    agent = ReActAgent(
        tools=[get_weather, set_timer], llm=knowing, formatter=formatter, streaming=streaming
    )
    answer, called = await run(agent, TASK)
    assert called == ["get_weather", "set_timer"]
    assert "10 minutes" in answer


async def test_agent_workflow_finishes_a_task_with_two_tools(knowing: RocmLLM) -> None:
    workflow = AgentWorkflow.from_tools_or_functions([get_weather, set_timer], llm=knowing)
    answer, called = await run(workflow, TASK)
    assert called == ["get_weather", "set_timer"]
    assert "10 minutes" in answer
