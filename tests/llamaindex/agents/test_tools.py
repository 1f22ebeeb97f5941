"""Tools: what is asked of the server, and what becomes of the calls that come back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_rocm import RocmLLM
from llama_index_rocm.partial_json import PartialObject
from rocm_core.errors import ConfigError, InvalidAnswer
from tests.support.servers.fake_server import FakeServer, stream
from tests.support.servers.scripts import call, chat, raw_call, say, script, sent, think

BOTH = pytest.mark.parametrize("streamed", [False, True])


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def weather(city: str, days: int = 1) -> str:
    """The weather to come."""
    return f"Rain in {city} for {days} days"


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(weather)]
NAMES = ["add", "weather"]


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    script(scripted, chat(call("add", a=2, b=3)))
    return scripted


def last(llm: RocmLLM, streamed: bool, **options: Any) -> ChatResponse:
    if streamed:
        return list(llm.stream_chat_with_tools(TOOLS, "Go.", **options))[-1]
    return llm.chat_with_tools(TOOLS, "Go.", **options)


def calls(llm: RocmLLM, response: ChatResponse) -> list[tuple[str, dict[str, Any]]]:
    found = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return [(one.tool_name, one.tool_kwargs) for one in found]


# -- the request ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({}, "auto"),
        ({"tool_required": True}, "required"),
        ({"tool_choice": "none"}, "none"),
        ({"tool_choice": "auto", "tool_required": True}, "auto"),
        ({"tool_choice": "any"}, "required"),
    ],
)
async def test_choice(
    scripted_llm: RocmLLM, server: FakeServer, options: dict[str, Any], choice: str
) -> None:
    scripted_llm.chat_with_tools(TOOLS, "Go.", **options)
    list(scripted_llm.stream_chat_with_tools(TOOLS, "Go.", **options))
    await scripted_llm.achat_with_tools(TOOLS, "Go.", **options)
    _ = [r async for r in await scripted_llm.astream_chat_with_tools(TOOLS, "Go.", **options)]
    for body in sent(server):
        assert body["tool_choice"] == choice
        assert [tool["function"]["name"] for tool in body["tools"]] == NAMES
        assert body["tools"][0]["function"]["parameters"]["required"] == ["a", "b"]
        assert body["parallel_tool_calls"] is False
    assert len(sent(server)) == 4


@pytest.mark.parametrize("choice", ["add", {"type": "function", "function": {"name": "add"}}])
def test_a_named_tool_is_forced(scripted_llm: RocmLLM, server: FakeServer, choice: Any) -> None:
    # llama-server would read the object as "auto".
    scripted_llm.chat_with_tools(TOOLS, "Go.", tool_choice=choice)
    (body,) = sent(server)
    assert body["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["add"]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["a", "b"]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


def test_an_unknown_tool_is_refused_before_anything_is_sent(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    with pytest.raises(ConfigError, match="add, weather"):
        scripted_llm.chat_with_tools(TOOLS, "Go.", tool_choice="subtract")
    assert not server.requests


def test_options_and_parallel_flag_flow_to_the_request(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    scripted_llm.chat_with_tools(
        TOOLS, "Go.", allow_parallel_tool_calls=True, temperature=0.5, seed=1, dry_multiplier=0.8
    )
    (body,) = sent(server)
    assert body["parallel_tool_calls"] is True
    assert (body["temperature"], body["seed"], body["dry_multiplier"]) == (0.5, 1, 0.8)


def test_no_tools_is_a_plain_chat(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(server, chat(say("Hi")))
    assert scripted_llm.chat_with_tools([], "Go.").message.content == "Hi"
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & sent(server)[0].keys()


def test_history_is_not_changed(scripted_llm: RocmLLM, server: FakeServer) -> None:
    history = [ChatMessage("Before.")]
    scripted_llm.chat_with_tools(TOOLS, ChatMessage("Go."), chat_history=history)
    list(scripted_llm.stream_chat_with_tools(TOOLS, "Go.", chat_history=history))
    assert history == [ChatMessage("Before.")]
    for body in sent(server):
        assert "Before." in str(body["messages"]) and "Go." in str(body["messages"])


def test_tools_that_would_be_lost_are_refused(scripted_llm: RocmLLM) -> None:
    with pytest.raises(ConfigError, match="text alone"):
        scripted_llm.complete("Go.", tools=[{}])
    own = scripted_llm.model_copy(update={"messages_to_prompt": lambda messages: "x"})
    with pytest.raises(ConfigError, match="messages_to_prompt"):
        own.chat_with_tools(TOOLS, "Go.")


# -- the answer -------------------------------------------------------------------------------


@BOTH
def test_text_thoughts_and_calls_come_apart(
    scripted_llm: RocmLLM, server: FakeServer, streamed: bool
) -> None:
    script(server, chat(think("Sum it."), say("Let me see."), call("add", a=2, b=3)))
    response = last(scripted_llm, streamed)
    assert response.message.content == "Let me see."
    thought, _, block = response.message.blocks
    assert isinstance(thought, ThinkingBlock) and thought.content == "Sum it."
    assert isinstance(block, ToolCallBlock) and block.tool_kwargs == {"a": 2, "b": 3}
    assert calls(scripted_llm, response) == [("add", {"a": 2, "b": 3})]
    assert response.raw is not None and response.raw["finish_reason"] == "tool_calls"


@BOTH
def test_a_captured_answer_of_a_real_server(
    scripted_llm: RocmLLM, server: FakeServer, streamed: bool
) -> None:
    for capture in ("chat_stream_tools.b11434", "chat_stream_tools.x11549"):
        script(server, stream(capture))
        response = last(scripted_llm, streamed, allow_parallel_tool_calls=True)
        assert calls(scripted_llm, response) == [
            ("get_weather", {"city": "Zürich", "days": 3}),
            ("get_time", {}),
        ]
        ids = [one.tool_id for one in scripted_llm.get_tool_calls_from_response(response)]
        assert len(set(ids)) == 2 and all(ids)


def test_partial_arguments_grow_and_deltas_are_text_alone(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    script(server, chat(say("Now:"), call("weather", city="Zürich", days=3)))
    responses = list(scripted_llm.stream_chat_with_tools(TOOLS, "Go."))
    assert "".join(r.delta or "" for r in responses) == "Now:"
    seen = [calls(scripted_llm, r) for r in responses]
    assert seen[0] == []
    cities = [some[0][1].get("city") for some in seen[1:]]
    assert cities[:2] == [None, None] and "Zü" in cities and cities[-1] == "Zürich"
    assert all("Zürich".startswith(city) for city in cities if city)
    assert seen[-1] == [("weather", {"city": "Zürich", "days": 3})]
    blocks = [block for response in responses for block in response.message.blocks]
    ids = {block.tool_call_id for block in blocks if isinstance(block, ToolCallBlock)}
    assert len(ids) == 1


@BOTH
def test_only_one_call_unless_parallel_ones_are_allowed(
    scripted_llm: RocmLLM, server: FakeServer, streamed: bool
) -> None:
    script(server, chat(call("add", a=1, b=2), call("add", a=3, b=4, index=1)))
    both = [("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]
    assert calls(scripted_llm, last(scripted_llm, streamed, allow_parallel_tool_calls=True)) == both
    if not streamed:  # LlamaIndex checks no streams; the server's grammar keeps it to one
        assert calls(scripted_llm, last(scripted_llm, streamed)) == both[:1]


@BOTH
def test_ids_are_there_and_unique_whatever_the_server_sends(
    scripted_llm: RocmLLM, server: FakeServer, streamed: bool
) -> None:
    for id_ in ("", "same"):
        twins = [raw_call("add", "{}", index=n, id_=id_) for n in range(3)]
        script(server, chat(*twins))
        response = last(scripted_llm, streamed, allow_parallel_tool_calls=True)
        ids = [one.tool_id for one in scripted_llm.get_tool_calls_from_response(response)]
        assert len(set(ids)) == 3 and all(ids)


@BOTH
def test_a_call_that_was_cut_off_is_an_error_not_half_a_call(
    scripted_llm: RocmLLM, server: FakeServer, streamed: bool
) -> None:
    script(server, chat(raw_call("weather", '{"city": "Zür'), finish="length"))
    with pytest.raises(InvalidAnswer, match="max_tokens"):
        last(scripted_llm, streamed)


@BOTH
def test_arguments_that_are_no_object_are_kept_but_never_called(
    scripted_llm: RocmLLM, server: FakeServer, streamed: bool
) -> None:
    script(server, chat(raw_call("weather", '{"city": oops}')))
    response = last(scripted_llm, streamed)
    (block,) = response.message.blocks
    assert isinstance(block, ToolCallBlock) and block.tool_kwargs == '{"city": oops}'
    with pytest.raises(InvalidAnswer, match="weather"):
        scripted_llm.get_tool_calls_from_response(response)
    # Agents ask like this: they must hear of it, and must not run the tool.
    [(name, arguments)] = calls(scripted_llm, response)
    assert name not in NAMES and '{"city": oops}' in name
    assert arguments == {"invalid_arguments": '{"city": oops}'}


@BOTH
def test_a_call_that_is_required_and_missing_is_an_error(
    scripted_llm: RocmLLM, server: FakeServer, streamed: bool
) -> None:
    script(server, chat(say("I would rather talk.")))
    with pytest.raises(InvalidAnswer, match="just talked"):
        last(scripted_llm, streamed, tool_required=True)
    response = last(scripted_llm, streamed)
    assert calls(scripted_llm, response) == []
    with pytest.raises(ValueError, match="I would rather talk"):
        scripted_llm.get_tool_calls_from_response(response)


def test_responses_of_other_making_are_read_too(scripted_llm: RocmLLM) -> None:
    block = ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs='{"a": 1}')
    response = ChatResponse(message=ChatMessage(role="assistant", blocks=[block]))
    assert scripted_llm.get_tool_calls_from_response(response) == [
        ToolSelection(tool_id="1", tool_name="add", tool_kwargs={"a": 1})
    ]


def test_long_arguments_cost_by_their_length_not_its_square() -> None:
    def seconds(length: int) -> float:
        text, growing = '{"code": "' + "x = 1; " * (length // 7), PartialObject()
        begun = time.perf_counter()
        for end in range(0, length, 4):
            growing.update(text[:end])
        return time.perf_counter() - begun

    readings = 0

    class Counting(PartialObject):
        def update(self, text: str) -> bool:
            nonlocal readings
            before = self._read
            changed = super().update(text)
            readings += self._read if self._read != before else 0
            return changed

    def read(length: int) -> int:
        nonlocal readings
        readings = 0
        text, growing = '{"code": "' + "x = 1; " * (length // 7), Counting()
        for end in range(4, length, 4):
            growing.update(text[:end])
        return readings

    # Characters parsed in all: up to 4096 each piece is read at once, then a share at a time.
    short, long = read(20_000), read(160_000)
    assert long < 16 * short
    assert long < 160_000 * 90
    assert seconds(160_000) < 5


# -- the next turn ----------------------------------------------------------------------------


def test_results_go_back_under_their_ids(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(server, chat(think("Sum."), call("add", a=2, b=3)), chat(say("It is 5.")))
    asked = scripted_llm.chat_with_tools(TOOLS, "2+3?")
    (one,) = scripted_llm.get_tool_calls_from_response(asked)
    result = ChatMessage("5", role="tool", additional_kwargs={"tool_call_id": one.tool_id})
    told = scripted_llm.chat([ChatMessage("2+3?"), asked.message, result])
    assert told.message.content == "It is 5."
    turn = sent(server)[1]["messages"]
    assert turn[1]["tool_calls"][0]["id"] == turn[2]["tool_call_id"] == one.tool_id
    assert turn[1]["tool_calls"][0]["function"] == {
        "name": "add",
        "arguments": '{"a": 2, "b": 3}',
    }
    # The model's thoughts about a call belong to the turn that is not over yet.
    assert turn[1]["reasoning_content"] == "Sum."


def test_memories_do_not_count_a_call_twice(scripted_llm: RocmLLM) -> None:
    final = list(scripted_llm.stream_chat_with_tools(TOOLS, "Go."))[-1].message
    assert final.additional_kwargs == {}
    memory = ChatMemoryBuffer.from_defaults(chat_history=[final], tokenizer_fn=str.split)
    assert memory.get() == [final]


# -- on a real engine -------------------------------------------------------------------------


@BOTH
def test_a_named_tool_is_called_by_any_model(llm: RocmLLM, streamed: bool) -> None:
    response = last(llm, streamed, tool_choice="add")
    ((name, arguments),) = calls(llm, response)
    assert name == "add"
    assert set(arguments) == {"a", "b"}
    assert all(type(value) is int for value in arguments.values())


async def test_predict_and_call(llm: RocmLLM) -> None:
    options: dict[str, Any] = {"tool_choice": "add"}
    called = llm.predict_and_call(TOOLS, "Go.", **options)
    acalled = await llm.apredict_and_call(TOOLS, "Go.", **options)
    assert called.sources[0].tool_name == acalled.sources[0].tool_name == "add"
    assert called.response == acalled.response == str(called.sources[0].raw_output)


class Song(BaseModel):
    """A song."""

    name: str
    year: int


def test_a_pydantic_class_as_a_tool(llm: RocmLLM) -> None:
    tool = get_function_tool(Song)
    response = llm.chat_with_tools([tool], "Make a song.", tool_required=True)
    (one,) = llm.get_tool_calls_from_response(response)
    assert Song(**one.tool_kwargs).name
