"""A chat template whose handler in llama.cpp makes no grammar of a schema: answers have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessageChunk
from pydantic import BaseModel

from langchain_rocm import ChatRocm
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.templates import UNHELD


class Weather(BaseModel):
    """The weather."""

    city: Literal["Berlin"]


@pytest.fixture(scope="module")
def unheld(engine: Engine) -> Iterator[ChatRocm]:
    """The reciter with such a template."""
    chat = ChatRocm(model=RECITER, engine=engine, chat_template=UNHELD, max_tokens=60)
    yield chat
    chat.close()


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output(unheld: ChatRocm, method: Any) -> None:
    chat = unheld.with_structured_output(Weather, method=method)
    assert chat.invoke("Hi") == Weather(city="Berlin")
    assert await chat.ainvoke("Hi") == Weather(city="Berlin")
    assert [*chat.stream("Hi")][-1] == Weather(city="Berlin")


def test_a_named_tool_is_called_in_pieces_without_talk(unheld: ChatRocm) -> None:
    chunks = list(unheld.bind_tools([Weather], tool_choice="Weather").stream("Hi"))
    assert len(chunks) > 3
    whole = sum(chunks[1:], chunks[0])
    assert isinstance(whole, AIMessageChunk)
    [call] = whole.tool_calls
    assert (call["name"], call["args"]) == ("Weather", {"city": "Berlin"})
    assert whole.text == "" and whole.response_metadata["finish_reason"] == "tool_calls"
    assert whole.usage_metadata
