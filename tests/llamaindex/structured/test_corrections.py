"""An invalid object is given back to the model with what was wrong, as often as allowed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from pydantic import BaseModel, Field

from llama_index_rocm import RocmLLM
from rocm_core.errors import InvalidAnswer
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import chat, say, script, sent

LOW, LOWER, GOOD = {"size": 0}, {"size": -1}, {"size": 3}
ASK = PromptTemplate("A hat?")


class Hat(BaseModel):
    """A hat."""

    size: int = Field(ge=1)


async def _predict(llm: RocmLLM, options: dict[str, Any]) -> Any:
    return llm.structured_predict(Hat, ASK, options)


async def _apredict(llm: RocmLLM, options: dict[str, Any]) -> Any:
    return await llm.astructured_predict(Hat, ASK, options)


async def _stream(llm: RocmLLM, options: dict[str, Any]) -> Any:
    return list(llm.stream_structured_predict(Hat, ASK, options))[-1]


async def _astream(llm: RocmLLM, options: dict[str, Any]) -> Any:
    stream = await llm.astream_structured_predict(Hat, ASK, options)
    return [each async for each in stream][-1]


async def _structured_llm(llm: RocmLLM, options: dict[str, Any]) -> Any:
    return llm.as_structured_llm(Hat).chat([ChatMessage("A hat?")], **options).raw


async def _program(llm: RocmLLM, options: dict[str, Any]) -> Any:
    program = FunctionCallingProgram.from_defaults(Hat, prompt=ASK, llm=llm)
    return program(llm_kwargs=options)


async def _aprogram(llm: RocmLLM, options: dict[str, Any]) -> Any:
    program = FunctionCallingProgram.from_defaults(Hat, prompt=ASK, llm=llm)
    return await program.acall(llm_kwargs=options)


WAYS = [_predict, _apredict, _stream, _astream, _structured_llm, _program, _aprogram]
Way = Callable[[RocmLLM, dict[str, Any]], Awaitable[Any]]


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    script(scripted, *(chat(say(json.dumps(value))) for value in (LOW, LOWER, GOOD)))
    return scripted


@pytest.mark.parametrize("way", WAYS)
async def test_the_model_is_told_what_was_wrong(server: FakeServer, way: Way) -> None:
    assert await way(RocmLLM(model=server.url), {"structured_retries": 2}) == Hat(**GOOD)
    messages = [(m["role"], m["content"]) for m in sent(server)[-1]["messages"]]
    assert [role for role, _ in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert json.loads(messages[1][1]) == LOW
    assert "size" in messages[2][1] and "greater than or equal to 1" in messages[2][1]


@pytest.mark.parametrize("way", WAYS)
async def test_an_option_of_the_model_and_of_a_call(server: FakeServer, way: Way) -> None:
    llm = RocmLLM(model=server.url, structured_retries=2)
    assert await way(llm, {}) == Hat(**GOOD)
    script(server, chat(say(json.dumps(LOWER))))
    with pytest.raises(ValueError, match="size.*minimum"):
        await way(llm, {"structured_retries": 0})
    assert len(sent(server)) == 4


@pytest.mark.parametrize("way", WAYS)
async def test_by_default_nothing_is_asked_again(server: FakeServer, way: Way) -> None:
    with pytest.raises(ValueError, match="size.*minimum") as caught:  # LlamaIndex's, of a program
        await way(RocmLLM(model=server.url), {})
    assert isinstance(caught.value, InvalidAnswer) == ("program" not in way.__name__)
    assert len(sent(server)) == 1
