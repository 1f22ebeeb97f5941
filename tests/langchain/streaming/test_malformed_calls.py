"""Calls whose arguments are no JSON object: kept as the model wrote them, and not repaired.

A healthy server with a grammar sends none; models whose calls are parsed from text do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    message_chunk_to_message,
)
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from pydantic import BaseModel

from langchain_rocm import ChatRocm, errors
from langchain_rocm.streaming.chunks import ChatChunks
from langchain_rocm.streaming.tool_chunks import ToolChunk
from rocm_core import StreamEvent, ToolCallDelta
from rocm_core.requests import CallReader, ToolRequest
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import call, chat, raw_call, say, script

MALFORMED = [
    '{"a":1,"b":',
    '{"path": "/home/me/old',
    '{"x": ',
    "null",
    "[1]",
    '"a"',
    "1",
    '{"a":1,"b":2} and that is all',
    '{"a":1}{"a":2}',
    "{'a': 1}",
    '{"a": "\\',
    '{"a": 1, "b": 2, "a": 3}',
]
WHOLE = ["{}", "", " ", '{"a": 1, "b": {"c": [1, "ü"]}}']


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    return scripted


@pytest.fixture
def bound(server: FakeServer) -> Any:
    return ChatRocm(base_url=server.url).bind_tools([add])


def answers(bound: Any) -> Iterator[Any]:
    """One answer in every way that LangChain makes a whole one of chunks."""
    yield bound.invoke("Hi")
    chunks = list(bound.stream("Hi"))
    yield chunks[0] + chunks[1:]
    one_by_one = chunks[0]
    for chunk in chunks[1:]:
        one_by_one += chunk
    yield one_by_one
    yield message_chunk_to_message(one_by_one)
    # Somebody listens: LangChain adds the chunks up by itself.
    yield bound.invoke("Hi", config={"callbacks": [Listener()]})
    yield bound.stream_events("Hi", version="v3").output


class Listener(BaseCallbackHandler, _StreamingCallbackHandler[Any]):
    """Makes ``invoke`` stream, as LangGraph's handlers do."""

    def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
        return output

    def tap_output_iter(self, run_id: Any, output: Any) -> Any:
        return output


@pytest.mark.parametrize("text", MALFORMED)
def test_its_text_is_kept_and_it_is_no_call(server: FakeServer, bound: Any, text: str) -> None:
    script(server, *[chat(say("So:"), raw_call("add", text, id_="c"))] * 4)
    for answer in answers(bound):
        assert answer.tool_calls == []
        [invalid] = answer.invalid_tool_calls
        assert (invalid["name"], invalid["args"], invalid["id"]) == ("add", text, "c")
        assert "no JSON object" in str(invalid["error"])
        kinds = [block["type"] for block in answer.content_blocks]
        assert kinds == ["text", "invalid_tool_call"]


@pytest.mark.parametrize("name", ["", " "])
def test_a_call_without_a_name_is_none(server: FakeServer, bound: Any, name: str) -> None:
    script(server, *[chat(raw_call(name, '{"a": 1}', id_="c"), call("add", index=1, a=1))] * 4)
    for answer in answers(bound):
        assert [one["args"] for one in answer.tool_calls] == [{"a": 1}]
        [invalid] = answer.invalid_tool_calls
        assert (invalid["args"], invalid["id"]) == ('{"a": 1}', "c")
        assert "names no tool" in str(invalid["error"])


@pytest.mark.parametrize("text", WHOLE)
def test_whole_arguments_stay_a_call(server: FakeServer, bound: Any, text: str) -> None:
    script(server, *[chat(raw_call("add", text, id_="c"))] * 4)
    args = json.loads(text) if text.strip() else {}
    for answer in answers(bound):
        assert answer.tool_calls == [tool_call(name="add", args=args, id="c")]
        assert answer.invalid_tool_calls == []


def one_value_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if any(json.dumps(each) != json.dumps(value[name]) for name, each in pairs):
        raise ValueError
    return value


@given(st.text(alphabet='{}[]":,\\ an1.ü\n', max_size=40), st.integers(1, 7))
def test_any_text_is_a_call_or_kept(text: str, step: int) -> None:
    pieces = [text[at : at + step] for at in range(0, len(text), step)] or [""]
    events = [StreamEvent(tool_calls=(ToolCallDelta(0, "c", "add", pieces[0]),))]
    events += [StreamEvent(tool_calls=(ToolCallDelta(0, None, None, p),)) for p in pieces[1:]]
    reader = ChatChunks("m", calls=CallReader(ToolRequest()))
    chunks = [chunk for event in events for chunk in reader.read(event)]
    answer: Any = chunks[0] + [*chunks[1:], reader.last()]
    message = answer.message
    assert type(message) is AIMessageChunk
    try:
        value = json.loads(text, object_pairs_hook=one_value_each) if text.strip() else {}
    except ValueError:
        value = None
    if isinstance(value, dict):
        assert [call["args"] for call in message.tool_calls] == [value]
    else:
        assert [call["args"] for call in message.invalid_tool_calls] == [text]
    assert len(message.tool_calls) + len(message.invalid_tool_calls) == 1


def test_other_calls_of_the_answer_are_not_touched(server: FakeServer, bound: Any) -> None:
    both = chat(raw_call("add", '{"a":', id_="bad"), call("add", index=1, a=1, b=2))
    script(server, *[both] * 4)
    for answer in answers(bound):
        assert [one["args"] for one in answer.tool_calls] == [{"a": 1, "b": 2}]
        assert [one["id"] for one in answer.invalid_tool_calls] == ["bad"]


@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_content_of_either_version(server: FakeServer, version: str) -> None:
    script(server, chat(say("So:"), raw_call("add", '{"a":', id_="c")))
    bound = ChatRocm(base_url=server.url, output_version=version).bind_tools([add])
    chunks = [chunk async for chunk in bound.astream("Hi")]
    whole: Any = chunks[0] + chunks[1:]
    for answer in (await bound.ainvoke("Hi"), whole):
        assert answer.tool_calls == [] and answer.invalid_tool_calls[0]["args"] == '{"a":'
        kinds = [block["type"] for block in answer.content_blocks]
        assert kinds == ["text", "invalid_tool_call"]


def test_while_it_is_written_its_arguments_grow(server: FakeServer, bound: Any) -> None:
    script(server, chat(raw_call("add", '{"a":1,"b":', step=3)))
    whole: Any = None
    seen = []
    for chunk in bound.stream("Hi"):
        whole = chunk if whole is None else whole + chunk
        seen.append([one["args"] for one in whole.tool_calls])
    assert {"a": 1} in [args for some in seen for args in some]
    assert seen[-1] == []


def test_a_whole_answer_is_of_langchains_own_classes(server: FakeServer, bound: Any) -> None:
    script(server, *[chat(call("add", a=1, b=2))] * 4)
    classes = [type(answer) for answer in answers(bound)]
    assert set(classes) == {AIMessage, AIMessageChunk}
    assert classes[0] is AIMessage and classes[3] is AIMessage and classes[4] is AIMessage
    assert ToolChunk(content="").to_json()["id"] == AIMessageChunk(content="").to_json()["id"]


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int = 0


def test_half_an_argument_is_no_value_of_a_schema(server: FakeServer) -> None:
    """``b`` has a default: repaired, this would be a value that the model never gave."""
    script(server, chat(say('{"a": 1, "b": 2')))
    chat_ = ChatRocm(base_url=server.url)
    structured = chat_.with_structured_output(Sum, method="function_calling")
    with pytest.raises(errors.InvalidAnswer):
        structured.invoke("Hi")
