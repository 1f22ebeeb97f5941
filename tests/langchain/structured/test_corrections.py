"""An invalid answer is given back to the model with what was wrong, as often as allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field, field_validator

from langchain_rocm import ChatRocm, errors
from langchain_rocm.structured import METHODS, Method
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import call, chat, say, script, sent

LOW: dict[str, Any] = {"size": 0, "name": "a"}
BLANK: dict[str, Any] = {"size": 3, "name": "  "}
GOOD: dict[str, Any] = {"size": 3, "name": "a"}


class Hat(BaseModel):
    """A hat."""

    size: int = Field(ge=1)
    name: str

    @field_validator("name")
    @classmethod
    def _not_blank(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("the name is blank")
        return name


@pytest.fixture
def llm(scripted: FakeServer) -> Iterator[ChatRocm]:
    chat = ChatRocm(base_url=scripted.url)
    yield chat
    chat.close()


def answers(server: FakeServer, *values: Any) -> None:
    """Let the server say these, one after the other."""
    script(server, *(chat(say(v if isinstance(v, str) else json.dumps(v))) for v in values))


def told(server: FakeServer, request: int = -1) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in sent(server)[request]["messages"]]


@pytest.mark.parametrize("method", METHODS)
async def test_the_model_is_told_what_was_wrong(
    llm: ChatRocm, scripted: FakeServer, method: Method
) -> None:
    for asynchronous in (False, True):
        answers(scripted, LOW, BLANK, GOOD)
        asked = llm.with_structured_output(Hat, method=method, retries=2)
        value = await asked.ainvoke("A hat?") if asynchronous else asked.invoke("A hat?")
        assert value == Hat(**GOOD)
        messages = told(scripted)
        assert [role for role, _ in messages] == ["user", "assistant", "user", "assistant", "user"]
        assert messages[0][1] == "A hat?" and json.loads(messages[1][1]) == LOW
        assert "size" in messages[2][1] and "greater than or equal to 1" in messages[2][1]
        assert "the name is blank" in messages[4][1]


@pytest.mark.parametrize("retries", [0, 1])
async def test_the_last_error_is_raised(llm: ChatRocm, scripted: FakeServer, retries: int) -> None:
    asked = llm.with_structured_output(Hat, retries=retries)
    answers(scripted, BLANK, LOW) if retries else answers(scripted, LOW)
    with pytest.raises(errors.InvalidAnswer, match="size.*minimum"):
        asked.invoke("A hat?")
    answers(scripted, BLANK, LOW) if retries else answers(scripted, LOW)
    with pytest.raises(errors.InvalidAnswer, match="size.*minimum"):
        await asked.ainvoke("A hat?")
    answers(scripted, BLANK, LOW) if retries else answers(scripted, LOW)
    with pytest.raises(errors.InvalidAnswer, match="size.*minimum"):
        list(asked.stream("A hat?"))
    answers(scripted, BLANK, LOW) if retries else answers(scripted, LOW)
    with pytest.raises(errors.InvalidAnswer, match="size.*minimum"):
        [value async for value in asked.astream("A hat?")]
    assert len(sent(scripted)) == 4 * (retries + 1)


def test_the_rule_and_that_nobody_enforces_it_are_named(
    llm: ChatRocm, scripted: FakeServer
) -> None:
    answers(scripted, BLANK)
    with pytest.raises(errors.InvalidAnswer, match=r"name.*blank.*validator.*retries"):
        llm.with_structured_output(Hat).invoke("?")


@pytest.mark.parametrize("text", ["Sure!", '{"size": 3, "name', "[]", "null"])
def test_what_is_no_answer_at_all(llm: ChatRocm, scripted: FakeServer, text: str) -> None:
    answers(scripted, text, GOOD)
    assert llm.with_structured_output(Hat, retries=1).invoke("?") == Hat(**GOOD)
    assert told(scripted)[1] == ("assistant", text)


async def test_a_stream_begins_again(llm: ChatRocm, scripted: FakeServer) -> None:
    schema = Hat.model_json_schema()
    asked = llm.with_structured_output(schema, retries=1)
    answers(scripted, LOW, GOOD)
    values = list(asked.stream("?"))
    assert {"size": 0} in values and values[-1] == GOOD
    assert values.index({"size": 0}) < values.index({"size": 3})
    answers(scripted, LOW, GOOD)
    assert [value async for value in asked.astream("?")] == values
    answers(scripted, LOW, GOOD)
    assert list(llm.with_structured_output(Hat, retries=1).stream("?")) == [Hat(**GOOD)]


async def test_with_the_raw_answer(llm: ChatRocm, scripted: FakeServer) -> None:
    asked = llm.with_structured_output(Hat, include_raw=True, retries=1)
    answers(scripted, LOW, GOOD)
    value = asked.invoke("?")
    assert value["parsed"] == Hat(**GOOD) and value["parsing_error"] is None
    assert isinstance(value["raw"], AIMessage) and json.loads(value["raw"].text) == GOOD
    answers(scripted, LOW, BLANK)
    value = await asked.ainvoke("?")
    assert value["parsed"] is None and "blank" in str(value["parsing_error"])
    answers(scripted, LOW, GOOD)
    assert {"parsed": Hat(**GOOD)} in list(asked.stream("?"))


def test_every_input_keeps_its_messages(llm: ChatRocm, scripted: FakeServer) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Be {how}."), ("user", "A hat?")])
    asked = llm.with_structured_output(Hat, retries=1)
    answers(scripted, LOW, GOOD)
    (prompt | asked).invoke({"how": "brief"})
    assert told(scripted)[:2] == [("system", "Be brief."), ("user", "A hat?")]
    answers(scripted, LOW, GOOD)
    asked.invoke([SystemMessage("Hm."), ("user", "A hat?")])
    assert told(scripted)[:2] == [("system", "Hm."), ("user", "A hat?")]


def test_calls_that_the_server_parsed(llm: ChatRocm, scripted: FakeServer) -> None:
    script(scripted, chat(call("Hat", **LOW)), chat(call("Hat", **GOOD)))
    asked = llm.with_structured_output(Hat, method="function_calling", retries=1)
    assert asked.invoke("?") == Hat(**GOOD)
    assert json.loads(told(scripted)[1][1]) == LOW


async def test_batches_and_options_of_a_call(llm: ChatRocm, scripted: FakeServer) -> None:
    asked = llm.with_structured_output(Hat, retries=1)
    answers(scripted, LOW, GOOD)
    assert asked.batch(["?"]) == [Hat(**GOOD)]
    answers(scripted, LOW, GOOD)
    assert await asked.abatch(["?"]) == [Hat(**GOOD)]
    answers(scripted, LOW, GOOD)
    asked.invoke("?", seed=7)
    assert [body["seed"] for body in sent(scripted)[-2:]] == [7, 7]
