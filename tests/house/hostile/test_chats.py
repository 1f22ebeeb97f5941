"""Whatever a server answers to a chat, there comes the right answer or an error of ours, in time.

The same table for the core, blocking and asyncio, and for both adapters. ``-s`` prints the counts.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.tools import FunctionTool

from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import Chat, GenerateConfig, TextModel, load_model
from rocm_core.errors import RocmError
from rocm_core.types import StreamEvent
from tests.support.servers.fake_server import FakeServer, answer
from tests.support.servers.hostile import LIMIT, Case, chunks, http, streams
from tests.support.servers.scripts import CHAT

# A minute in all.
pytestmark = pytest.mark.slow

GROUPS = {
    f"{of.__name__.rpartition('.')[2]}: {name}": cases
    for of in (http, chunks, streams)
    for name, cases in of.cases()
}
# Every peer that is cut off would go on for twice as long, at least.
SLACK = 3.0
HI = ({"role": "user", "content": "Hi"},)
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}

Said = tuple[str, list[tuple[str, Any]]]
Ask = Callable[[float, bool], Said]
"""Asks with a limit, and with log probabilities or with tools."""


def _value(arguments: str) -> Any:
    try:
        return json.loads(arguments.strip() or "{}")
    except ValueError:
        return arguments


def _said(events: list[StreamEvent]) -> Said:
    calls: dict[int, list[str]] = {}
    for event in events:
        for part in event.tool_calls:
            call = calls.setdefault(part.index, ["", ""])
            call[0] += part.name or ""
            call[1] += part.arguments
    text = "".join(event.text for event in events)
    return text, [(name, _value(arguments)) for name, arguments in calls.values()]


def _chat(limit: float, logprobs: bool) -> Chat:
    fields = {"logprobs": True} if logprobs else {"tools": [TOOL]}
    return Chat(HI, GenerateConfig(timeout=limit), fields)


def _blocking(url: str) -> Ask:
    model = load_model(url)
    return lambda *options: _said(list(model.events(_chat(*options))))


async def _events(model: TextModel, limit: float, logprobs: bool) -> Said:
    return _said([event async for event in model.aevents(_chat(limit, logprobs))])


def _asyncio(url: str) -> Ask:
    model = load_model(url)
    return lambda *options: asyncio.run(_events(model, *options))


def _langchain(url: str) -> Ask:
    chat = ChatRocm(base_url=url, max_retries=0)
    kinds = chat.bind_tools([TOOL]), chat.bind(logprobs=True)

    def ask(limit: float, logprobs: bool) -> Said:
        said = kinds[logprobs].invoke("Hi", timeout=limit)
        return said.text, [(call["name"], call["args"]) for call in said.tool_calls]

    return ask


def _add(a: int = 0) -> int:
    return a


def _llama_index(url: str) -> Ask:
    llm = RocmLLM(base_url=url)
    tools = [FunctionTool.from_defaults(_add, name="add")]
    history = [ChatMessage(content="Hi")]

    def ask(limit: float, logprobs: bool) -> Said:
        if logprobs:
            said = llm.chat(history, timeout=limit, logprobs=True).message
        else:
            said = llm.chat_with_tools(
                tools, chat_history=history, timeout=limit, allow_parallel_tool_calls=True
            ).message
        calls = [block for block in said.blocks if isinstance(block, ToolCallBlock)]
        return said.content or "", [(call.tool_name, call.tool_kwargs) for call in calls]

    return ask


WAYS = {
    "blocking": _blocking,
    "asyncio": _asyncio,
    "LangChain": _langchain,
    "LlamaIndex": _llama_index,
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        yield server


@pytest.fixture(scope="module", params=WAYS)
def ask(request: pytest.FixtureRequest, server: FakeServer) -> Ask:
    """Ask the server, which has told its facts."""
    ask = WAYS[request.param](server.url)
    server.script(CHAT, GROUPS["streams: right"][0].reply)
    ask(10.0, False)
    return ask


def fault(case: Case, ask: Ask, server: FakeServer) -> str:
    """What is wrong with what comes of a case; empty for nothing."""
    server.script(CHAT, case.reply)
    limit = LIMIT if case.slow else 10.0
    start = time.monotonic()
    try:
        text, calls = ask(limit, case.name.startswith(("logprob", "token", "top_")))
    except RocmError as error:
        found: Any = error
    except Exception as error:
        return f"an error of others: {error!r}"
    else:
        found = text
        if case.raises or (case.says is not None and text != case.says):
            return f"the answer {text!r}"
        if case.calls and calls != list(case.calls):
            return f"the calls {calls!r}"
    if time.monotonic() - start > limit + SLACK:
        return f"took {time.monotonic() - start:.1f} s"
    if isinstance(found, str):
        return ""
    if case.says is not None or (case.raises and not isinstance(found, case.raises)):
        return repr(found)
    return "" if case.words in str(found) else f"the words {found}"


def test_there_are_enough_cases() -> None:
    assert sum(map(len, GROUPS.values())) >= 300


@pytest.mark.parametrize("group", GROUPS)
def test_a_right_answer_or_an_error_of_ours(group: str, ask: Ask, server: FakeServer) -> None:
    faults = {case.name: fault(case, ask, server) for case in GROUPS[group]}
    assert {name: what for name, what in faults.items() if what} == {}
