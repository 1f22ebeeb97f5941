"""LlamaIndex's agents: the events of ``FunctionAgent``."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Any

from benchmarks.agents.tools import QUESTION, get_time, get_weather
from benchmarks.contenders import llamaindex
from benchmarks.contenders.base import Contender, Setting, Take, asynchronous

FLOOR = "LlamaIndex's floor, agent"


def floor(setting: Setting, stack: ExitStack) -> list[Contender]:
    """A model that costs nothing."""
    from benchmarks.agents.fake_llamaindex import FakeAgentLLM

    return [_contender(setting, FLOOR, FakeAgentLLM(setting=setting))]


def ours(setting: Setting, stack: ExitStack) -> list[Contender]:
    """Ours."""
    from llama_index_rocm import RocmLLM

    llm = RocmLLM(base_url=setting.url)
    stack.callback(llm.close)
    return [_contender(setting, "RocmLLM, agent", llm)]


def openai(setting: Setting, stack: ExitStack) -> list[Contender]:
    """The openai SDK underneath."""
    llm = llamaindex.openai_like(setting, stack, is_function_calling_model=True)
    return [_contender(setting, "OpenAILike, agent", llm)]


def _contender(setting: Setting, name: str, llm: Any) -> Contender:
    workflow: Any = importlib.import_module("llama_index.core.agent.workflow")
    agent = workflow.FunctionAgent(tools=[get_weather, get_time], llm=llm)

    async def run(take: Take) -> None:
        handler = agent.run(user_msg=QUESTION)
        async for event in handler.stream_events():
            if type(event) is workflow.AgentStream:
                take(event.delta)
        await handler

    return asynchronous(setting, name, run, FLOOR)
