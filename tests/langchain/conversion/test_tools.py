"""Tools on the real engines, and on a server that understands them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_rocm import ChatRocm, errors
from rocm_core.config import Engine
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import Body, authored, sent


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def now() -> str:
    """Tell the time."""
    return "noon"


class Weather(BaseModel):
    """The weather of a city."""

    city: str


QUESTION = "What is 2 + 3?"
NAMED = {"type": "function", "function": {"name": "add"}}


# ---------------------------------------------------------------------------
# The real engines
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["add", NAMED, {"type": "tool", "name": "add"}])
async def test_a_named_tool_is_really_forced(chat: ChatRocm, choice: Any) -> None:
    bound = chat.bind_tools([now, add], tool_choice=choice)
    for answer in (bound.invoke(QUESTION), await bound.ainvoke(QUESTION)):
        [call] = answer.tool_calls
        assert call["name"] == "add" and call["args"].keys() == {"a", "b"} and call["id"]
        assert answer.response_metadata["finish_reason"] == "tool_calls"
        assert answer.content == ""


@pytest.mark.parametrize("choice", ["any", "required", True])
async def test_some_tool_is_really_called(chat: ChatRocm, choice: Any) -> None:
    """The demo model would talk for ever; ``required`` alone does not stop it."""
    bound = chat.bind_tools([now, add], tool_choice=choice, max_tokens=40)
    for answer in (bound.invoke(QUESTION), await bound.ainvoke(QUESTION)):
        [call] = answer.tool_calls
        assert call["name"] in ("add", "now") and call["id"]
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] > 40  # both steps


def test_a_tool_without_arguments(chat: ChatRocm) -> None:
    [call] = chat.bind_tools([now], tool_choice="any").invoke("Hi").tool_calls
    assert (call["name"], call["args"]) == ("now", {})


@pytest.mark.parametrize("choice", ["auto", "none", None, False])
def test_nothing_is_forced(chat: ChatRocm, choice: Any) -> None:
    answer = chat.bind_tools([add], tool_choice=choice).invoke("Hi")
    assert answer.text == ANSWER and not answer.tool_calls


async def test_the_arguments_are_streamed(chat: ChatRocm) -> None:
    bound = chat.bind_tools([add], tool_choice="add")
    streams: Any = (list(bound.stream(QUESTION)), [c async for c in bound.astream(QUESTION)])
    for chunks in streams:
        parts = [part for chunk in chunks for part in chunk.tool_call_chunks]
        assert len(parts) > 3
        assert [part["id"] is not None for part in parts].count(True) == 1
        assert {part["index"] for part in parts} == {0}
        whole = chunks[0] + chunks[1:]
        assert whole.tool_calls[0]["args"].keys() == {"a", "b"}


def test_every_kind_of_tool(chat: ChatRocm) -> None:
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    given: list[Any] = [add, Weather, shout, {"name": "raw", "description": "d", "parameters": {}}]
    bound = chat.bind_tools(given, strict=True, parallel_tool_calls=False)
    names = [each["function"]["name"] for each in bound.kwargs["tools"]]  # type: ignore[attr-defined]
    assert names == ["add", "Weather", "shout", "raw"]
    for name in ("Weather", "shout"):
        forced = chat.bind_tools(given, tool_choice=name)
        assert forced.invoke("Hi").tool_calls[0]["name"] == name


def test_tools_of_a_call_are_read_too(chat: ChatRocm) -> None:
    assert chat.invoke("Hi", tools=[add], tool_choice=NAMED).tool_calls[0]["name"] == "add"


def test_choices_that_cannot_be(chat: ChatRocm) -> None:
    with pytest.raises(errors.ConfigError, match="names none of the tools given: add"):
        chat.bind_tools([add], tool_choice="subtract")
    with pytest.raises(errors.ConfigError, match="no tools at all"):
        chat.invoke("Hi", tool_choice="any")


def test_a_call_that_is_cut_off_is_an_error_not_half_a_call(chat: ChatRocm) -> None:
    with pytest.raises(errors.InvalidAnswer, match="raise max_tokens") as caught:
        chat.bind_tools([add], tool_choice="add").invoke("Hi", max_tokens=3)
    assert caught.value.llm_output == caught.value.text != ""


def test_broken_arguments_in_the_history_do_no_harm(chat: ChatRocm) -> None:
    broken = {"name": "add", "args": '{"a": 1, "b', "id": "c", "error": None}
    history = [
        HumanMessage(QUESTION),
        AIMessage("", invalid_tool_calls=[broken]),
        ToolMessage("the arguments were no JSON", tool_call_id="c", status="error"),
    ]
    assert chat.bind_tools([add]).invoke(history).text == ANSWER


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grammar": 'root ::= "x"'}, "a grammar excludes tools"),
        ({"logprobs": True}, "no logprobs beside tools"),
        ({"stop_token_ids": [258]}, "use stop strings"),
    ],
)
def test_what_the_server_would_refuse_is_said_before(
    chat: ChatRocm, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.ConfigError, match=words):
        chat.bind_tools([add]).invoke("Hi", **options)


def test_a_template_without_tools_is_refused_before_they_are_dropped(engine: Engine) -> None:
    plain = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    chat = ChatRocm(model=RECITER, engine=engine, chat_template=plain + "<|im_start|>assistant\n")
    try:
        with pytest.raises(errors.ConfigError, match=r"no place for tools.*chat_template="):
            chat.bind_tools([add]).invoke("Hi")
        assert chat.profile is not None
        assert chat.profile["tool_calling"] is False
        assert chat.with_structured_output(Weather).invoke("Hi").city is not None
    finally:
        chat.close()


# ---------------------------------------------------------------------------
# A server that understands
# ---------------------------------------------------------------------------


def two_calls(body: Body) -> Body:
    if body["messages"][-1]["role"] == "tool":
        return {"content": "5 and 9"}
    calls = [{"name": "add", "args": {"a": 2, "b": 3}}, {"name": "add", "args": {"a": 4, "b": 5}}]
    return {"content": "Let me see.", "tool_calls": calls}


@pytest.fixture
def adding() -> Iterator[FakeServer]:
    with authored(two_calls) as server:
        yield server


async def test_parallel_calls(adding: FakeServer) -> None:
    bound = ChatRocm(base_url=adding.url).bind_tools([add], parallel_tool_calls=True)
    chunks: Any = list(bound.stream("2 + 3, and 4 + 5?"))
    assert chunks[-1].chunk_position == "last"
    for answer in (chunks[0] + chunks[1:], await bound.ainvoke("2 + 3, and 4 + 5?")):
        assert [call["args"] for call in answer.tool_calls] == [{"a": 2, "b": 3}, {"a": 4, "b": 5}]
        assert [call["id"] for call in answer.tool_calls] == ["id-0", "id-1"]
        assert answer.text == "Let me see."
    assert sent(adding)[0]["parallel_tool_calls"] is True
    assert sent(adding)[0]["tool_choice"] == "auto"


def test_a_reply_without_the_required_call_is_detected() -> None:
    """Even the schema is ignored by this server."""
    with authored(lambda body: {"content": "I would rather talk."}) as server:
        chat = ChatRocm(base_url=server.url)
        with pytest.raises(errors.InvalidAnswer, match="the answer has none") as caught:
            chat.bind_tools([add, now], tool_choice="any").invoke("Hi")
        assert caught.value.is_retryable
        assert [body["tool_choice"] for body in sent(server)] == ["required", "required"]
        assert "response_format" not in sent(server)[0]
        assert "anyOf" in sent(server)[1]["response_format"]["json_schema"]["schema"]


def test_tool_results_with_lists_and_artifacts(adding: FakeServer) -> None:
    history = [
        HumanMessage("?"),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "c"}]),
        ToolMessage(
            [{"type": "text", "text": "3"}, "!"], tool_call_id="c", artifact={"not": "sent"}
        ),
    ]
    assert ChatRocm(base_url=adding.url).bind_tools([add]).invoke(history).text == "5 and 9"
    result = sent(adding)[0]["messages"][-1]
    assert [part["text"] for part in result["content"]] == ["3", "!"]
    assert "artifact" not in result


def test_a_named_tool_is_called_without_thinking_unless_told() -> None:
    with authored(lambda body: {"content": '{"a": 1, "b": 2}'}) as server:
        chat = ChatRocm(base_url=server.url).bind_tools([add], tool_choice="add")
        chat.invoke("Go.")
        chat.invoke("Go.", reasoning=True)
        thinking = [body["chat_template_kwargs"]["enable_thinking"] for body in sent(server)]
        assert thinking == [False, True]


async def test_a_history_that_ends_in_tool_calls_is_refused_before_it_is_sent() -> None:
    call = {"name": "add", "args": {"a": 2, "b": 3}, "id": "1"}
    history = [HumanMessage(QUESTION), AIMessage("", tool_calls=[call])]
    chat = ChatRocm(base_url="http://127.0.0.1:9")
    with pytest.raises(errors.ConfigError, match=r"\(add\): answer the tools first"):
        chat.invoke(history)
    with pytest.raises(errors.ConfigError, match="answer the tools first"):
        await chat.ainvoke(history)
