"""A chat template whose handler in llama.cpp makes no grammar of a schema: answers have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_rocm import RocmLLM
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.templates import UNHELD


class Weather(BaseModel):
    """The weather."""

    city: Literal["Berlin"]


def weather(city: Literal["Berlin"]) -> str:
    """The weather."""
    return city


@pytest.fixture(scope="module")
def unheld(engine: Engine) -> Iterator[RocmLLM]:
    """The reciter with such a template."""
    llm = RocmLLM(model=RECITER, engine=engine, chat_template=UNHELD, max_tokens=60)
    yield llm
    llm.close()


async def test_structured_output(unheld: RocmLLM) -> None:
    prompt = PromptTemplate("Hi")
    assert unheld.structured_predict(Weather, prompt) == Weather(city="Berlin")
    assert await unheld.astructured_predict(Weather, prompt) == Weather(city="Berlin")
    assert [*unheld.stream_structured_predict(Weather, prompt)][-1] == Weather(city="Berlin")


def test_a_named_tool_is_called_without_talk(unheld: RocmLLM) -> None:
    tool = FunctionTool.from_defaults(weather, fn_schema=Weather)
    response = unheld.chat_with_tools([tool], "Hi", tool_choice="weather")
    [call] = unheld.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("weather", {"city": "Berlin"})
    assert not response.message.content
