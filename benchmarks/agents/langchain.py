"""LangChain's agents: ``create_agent(…).stream(stream_mode="messages")``."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Any

from benchmarks.agents.tools import QUESTION, get_time, get_weather
from benchmarks.contenders.base import Contender, Setting, Take
from benchmarks.contenders.langchain import openai_options

FLOOR = "LangChain's floor, agent"


def floor(setting: Setting, stack: ExitStack) -> list[Contender]:
    """A model that costs nothing."""
    from benchmarks.agents.fake_langchain import FakeAgentChat

    return [_contender(FLOOR, FakeAgentChat(setting=setting))]


def ours(setting: Setting, stack: ExitStack) -> list[Contender]:
    """Ours."""
    from langchain_rocm import ChatRocm

    chat = ChatRocm(base_url=setting.url)
    stack.callback(chat.close)
    return [_contender("ChatRocm, agent", chat)]


def openai(setting: Setting, stack: ExitStack) -> list[Contender]:
    """The openai SDK underneath."""
    from langchain_openai import ChatOpenAI

    return [_contender("ChatOpenAI, agent", ChatOpenAI(**openai_options(setting, stack)))]


def ollama(setting: Setting, stack: ExitStack) -> list[Contender]:
    """Ollama's dialect: NDJSON."""
    package: Any = importlib.import_module("langchain_ollama")
    options = {"trust_env": False}
    chat = package.ChatOllama(model="any", base_url=setting.url, client_kwargs=options)
    stack.callback(lambda: setting.loop.run_until_complete(chat._async_client._client.aclose()))
    stack.callback(chat._client._client.close)
    return [_contender("ChatOllama, agent", chat)]


def _contender(name: str, chat: Any) -> Contender:
    agents: Any = importlib.import_module("langchain.agents")
    agent = agents.create_agent(chat, tools=[get_weather, get_time])

    def run(take: Take) -> None:
        asked = {"messages": [("user", QUESTION)]}
        for message, metadata in agent.stream(asked, stream_mode="messages"):
            if metadata["langgraph_node"] == "model":
                take(message.content)

    return Contender(name, run, FLOOR)
