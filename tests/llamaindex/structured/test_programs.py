"""``FunctionCallingProgram``, and tools whose schemas are more than properties."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_rocm import RocmLLM
from rocm_core.errors import ConfigError
from tests.support.pydantic_models.behavior import Strict
from tests.support.pydantic_models.collections import Extra, TypedExtra
from tests.support.pydantic_models.recursion import Node
from tests.support.pydantic_models.roots import Words
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import chat, say, script, sent

ASK = PromptTemplate("Fill it in.")
STRICT = {
    "day": "2024-02-29",
    "id": "12345678-1234-5678-1234-567812345678",
    "suit": "hearts",
    "pair": [1, True],
    "letters": ["a"],
}


def program(server: FakeServer, cls: type[BaseModel], value: Any = None) -> Any:
    script(server, chat(say(json.dumps(value))))
    return FunctionCallingProgram.from_defaults(cls, prompt=ASK, llm=RocmLLM(model=server.url))


async def test_a_strict_class_is_read_from_json(scripted: FakeServer) -> None:
    for answer in (
        program(scripted, Strict, STRICT)(),
        await program(scripted, Strict, STRICT).acall(),
    ):
        assert isinstance(answer, Strict) and answer.pair == (1, True)


async def test_a_root_model_is_one_argument(scripted: FakeServer) -> None:
    for answer in (
        program(scripted, Words, {"value": ["a", "b"]})(),
        await program(scripted, Words, {"value": ["a", "b"]}).acall(),
    ):
        assert answer == Words(["a", "b"])
    [tool] = sent(scripted)[-1]["tools"]
    assert tool["function"]["name"] == "Words"
    assert tool["function"]["parameters"]["required"] == ["value"]


async def test_a_root_model_in_a_stream_is_refused_in_words(scripted: FakeServer) -> None:
    # LlamaIndex would make blank objects of the parts of such a call.
    with pytest.raises(ConfigError, match=r"'Words'.*object.*structured output"):
        list(program(scripted, Words).stream_call())
    with pytest.raises(ConfigError, match=r"'Words'.*object.*structured output"):
        [each async for each in await program(scripted, Words).astream_call()]
    assert sent(scripted) == []


@pytest.mark.parametrize("cls", [Extra, TypedExtra, Node])
def test_the_whole_schema_of_a_tool_is_sent(scripted: FakeServer, cls: type[BaseModel]) -> None:
    script(scripted, chat(say("Hm.")))
    tool = FunctionTool.from_defaults(print, name="fill", description="d", fn_schema=cls)
    llm = RocmLLM(model=scripted.url)
    llm.chat_with_tools([tool], "Go.")
    parameters = sent(scripted)[0]["tools"][0]["function"]["parameters"]
    if cls is Node:
        assert parameters["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    else:
        assert parameters["additionalProperties"]
