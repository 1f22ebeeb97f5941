"""Histories that other integrations wrote: their calls are sent, and nothing ends the run."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    CitationBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic import BaseModel

from llama_index_rocm import RocmLLM, RocmTokenizer
from llama_index_rocm.messages import to_request
from rocm_core.errors import ConfigError
from tests.support.models.reciter import ANSWER

ARGUMENTS = '{"a": 1}'
SENT = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}


class Function(BaseModel):
    """As ``openai.types.chat.chat_completion_message_tool_call``."""

    name: str
    arguments: str


class OpenAICall(BaseModel):
    """As ``openai.types.chat.ChatCompletionMessageToolCall``."""

    id: str
    function: Function
    type: Literal["function"] = "function"


FORMS: dict[str, Any] = {
    "an object of OpenAI's": OpenAICall(id="c", function=Function(name="f", arguments=ARGUMENTS)),
    "its dictionary": {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": ARGUMENTS},
    },
    "arguments as an object": {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}},
    "Ollama's object": SimpleNamespace(
        id="c", function=SimpleNamespace(name="f", arguments={"a": 1})
    ),
    "a custom tool of OpenAI's": {
        "id": "c",
        "type": "custom",
        "custom": {"name": "f", "input": ARGUMENTS},
    },
    "a ToolSelection": ToolSelection(tool_id="c", tool_name="f", tool_kwargs={"a": 1}),
    "a block": ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"a": 1}),
    "a flat dictionary": {"id": "c", "name": "f", "arguments": ARGUMENTS},
}


def asked(*blocks: Any, **kwargs: Any) -> ChatMessage:
    return ChatMessage(role="assistant", blocks=list(blocks), additional_kwargs=kwargs)


def calls(message: ChatMessage) -> Any:
    [sent] = to_request([message])
    return sent.get("tool_calls")


@pytest.mark.parametrize("form", FORMS)
def test_calls_in_additional_kwargs_are_sent(form: str) -> None:
    assert calls(asked(tool_calls=[FORMS[form]])) == [SENT]


@pytest.mark.parametrize("form", FORMS)
def test_a_call_in_both_places_is_sent_once(form: str) -> None:
    block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs=ARGUMENTS)
    assert calls(asked(block, tool_calls=[FORMS[form]])) == [SENT]
    other = ToolCallBlock(tool_call_id="d", tool_name="f", tool_kwargs=ARGUMENTS)
    assert calls(asked(other, tool_calls=[FORMS[form]])) == [{**SENT, "id": "d"}, SENT]


def test_calls_without_ids() -> None:
    given = {"function": {"name": "f", "arguments": ARGUMENTS}, "id": None}
    without = {k: v for k, v in SENT.items() if k != "id"}
    assert calls(asked(tool_calls=[given])) == [without]
    block = ToolCallBlock(tool_name="f", tool_kwargs={"a": 1})
    assert calls(asked(block, tool_calls=[given])) == [without]


@pytest.mark.parametrize("given", [[], None])
def test_no_calls_are_no_calls(given: Any) -> None:
    assert calls(asked(TextBlock(text="Hi"), tool_calls=given)) is None


@pytest.mark.parametrize("given", [["f"], [3], {"id": "c"}, "f", [{"name": "f"}]])
def test_calls_of_an_unknown_form_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"of an unknown form: .*ToolCallBlock"):
        to_request([asked(tool_calls=given)])


def test_a_result_without_an_id() -> None:
    result = ChatMessage(
        "5", role="tool", additional_kwargs={"tool_call_id": None, "name": None, "secret": 1}
    )
    assert to_request([result]) == [{"role": "tool", "content": "5"}]


def test_a_call_of_another_provider_keeps_its_thoughts() -> None:
    message = asked(ThinkingBlock(content="hm"), tool_calls=[FORMS["its dictionary"]])
    assert to_request([message])[0]["reasoning_content"] == "hm"


class Color(enum.Enum):
    RED = "red"


class Where(BaseModel):
    city: str


def test_arguments_may_be_objects() -> None:
    arguments = {
        "day": datetime.date(2026, 11, 28),
        "id": uuid.UUID(int=1),
        "color": Color.RED,
        "where": Where(city="Zürich"),
    }
    [call] = calls(asked(ToolCallBlock(tool_name="f", tool_kwargs=arguments)))
    assert json.loads(call["function"]["arguments"]) == {
        "day": "2026-11-28",
        "id": str(uuid.UUID(int=1)),
        "color": "red",
        "where": {"city": "Zürich"},
    }


def test_citations_are_left_out_of_answers() -> None:
    citation = CitationBlock(
        cited_content=TextBlock(text="x"), source="s", title="t", additional_location_info={}
    )
    assert to_request([asked(TextBlock(text="Hi"), citation)])[0]["content"] == "Hi"


async def test_a_conversation_that_began_elsewhere_goes_on_here(llm: RocmLLM) -> None:
    history = [
        ChatMessage("How is the weather?"),
        asked(TextBlock(text="Let me see."), tool_calls=[FORMS["an object of OpenAI's"]]),
        ChatMessage("Rain.", role="tool", additional_kwargs={"tool_call_id": "c"}),
        asked(ToolCallBlock(tool_call_id="d", tool_name="f", tool_kwargs="")),
        ChatMessage("Rain.", role="tool", additional_kwargs={"tool_call_id": "d"}),
        ChatMessage("And tomorrow?"),
    ]
    assert llm.chat(history).message.content == ANSWER
    assert (await llm.achat(history)).message.content == ANSWER


async def test_half_a_surrogate_pair_is_told_by_its_message(llm: RocmLLM) -> None:
    history = [ChatMessage("Hi"), asked(TextBlock(text="Yes?")), ChatMessage("b\ud83d c")]
    where = r"messages\[2\]\.content, which begins with 'b.*half a surrogate pair"
    with pytest.raises(ConfigError, match=where):
        llm.chat(history)
    with pytest.raises(ConfigError, match=where):
        await llm.achat(history)
    with pytest.raises(ConfigError, match="content, which begins with 'b"):
        llm.complete("b\ud83d c")
    with pytest.raises(ConfigError, match=r"texts\[0\], which begins with 'b"):
        RocmTokenizer(llm)("b\ud83d c")
