"""A response format beside tools: a call is free of it, and an answer without calls has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.tools import FunctionTool

from llama_index_rocm import RocmLLM
from rocm_core.config import Engine
from rocm_core.errors import ConfigError
from tests.support.models.walker import WALKER
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import call, chat, say, script, sent

SCHEMA = {
    "type": "object",
    "properties": {"warm": {"type": "boolean"}},
    "required": ["warm"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "report", "schema": SCHEMA}}


def weather(city: str) -> str:
    """The weather."""
    return "warm"


TOOLS = [FunctionTool.from_defaults(weather)]


async def ways(llm: RocmLLM, **options: Any) -> AsyncIterator[ChatResponse]:
    """The last response of each method."""
    given: dict[str, Any] = {"user_msg": "Hi", "response_format": FORMAT, **options}
    yield llm.chat_with_tools(TOOLS, **given)
    yield list(llm.stream_chat_with_tools(TOOLS, **given))[-1]
    yield await llm.achat_with_tools(TOOLS, **given)
    yield [r async for r in await llm.astream_chat_with_tools(TOOLS, **given)][-1]


async def test_a_call_is_not_held_to_it(scripted: FakeServer) -> None:
    script(scripted, *[chat(call("weather", city="Berlin")) for _ in range(4)])
    llm = RocmLLM(base_url=scripted.url)
    async for response in ways(llm):
        [selected] = llm.get_tool_calls_from_response(response)
        assert selected.tool_kwargs == {"city": "Berlin"}
    assert len(sent(scripted)) == 4
    assert not any("response_format" in body for body in sent(scripted))


async def test_an_answer_of_another_form_is_asked_for_again(scripted: FakeServer) -> None:
    script(scripted, *[chat(say("Warm.")), chat(say('{"warm": true}'))] * 4)
    async for response in ways(RocmLLM(base_url=scripted.url)):
        assert json.loads(response.message.content or "") == {"warm": True}
        assert response.raw and response.raw["usage"]["completion_tokens"] == 14, "of both"
    first, second = sent(scripted)[:2]
    assert (first["tool_choice"], "response_format" in first) == ("auto", False)
    assert (second["tool_choice"], "response_format" in second) == ("none", True)


async def test_an_answer_that_has_it_is_kept(scripted: FakeServer) -> None:
    script(scripted, *[chat(say('{"warm": false}'))] * 4)
    async for response in ways(RocmLLM(base_url=scripted.url)):
        assert json.loads(response.message.content or "") == {"warm": False}
    assert len(sent(scripted)) == 4


def test_what_cannot_be_sent_is_refused_before(scripted: FakeServer) -> None:
    with pytest.raises(ConfigError, match="not both"):
        RocmLLM(base_url=scripted.url, grammar="root ::= [a-z]").chat_with_tools(
            TOOLS, user_msg="Hi", response_format=FORMAT
        )


async def test_a_real_engine(engine: Engine) -> None:
    llm = RocmLLM(model=WALKER, engine=engine, max_tokens=200)
    async for response in ways(llm):
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        assert calls or set(json.loads(response.message.content or "")) == {"warm"}
    llm.close()
