"""Finish reasons in LangChain's words, held to its own functions where this version has them."""

from __future__ import annotations

import importlib
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.tools import tool

from langchain_rocm import ChatRocm
from langchain_rocm.streaming.chunks import STANDARD_REASONS, finish_fields
from tests.support.adapters.chunks import chat_chunks, merged
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import call, chat, say, script

needs_standard = pytest.mark.skipif(
    not STANDARD_REASONS, reason="langchain-core 1.8.4 reads standard finish reasons"
)
FIELDS = ("finish_reason", "normalized_finish_reason", "finish_state")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# What the server says, whether the answer calls tools, and what LangChain calls it.
TABLE = [
    ("stop", False, "stop", "completed"),
    ("stop", True, "tool_call", "completed"),
    ("tool_calls", True, "tool_call", "completed"),
    ("length", False, "length", "incomplete"),
    ("length", True, "length", "incomplete"),
]


@pytest.fixture
def standard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a langchain-core that reads them."""
    for module in ("chunks", "protocol"):
        there = importlib.import_module(f"langchain_rocm.streaming.{module}")
        monkeypatch.setattr(there, "STANDARD_REASONS", True)


@pytest.mark.parametrize(("reason", "calls", "normalized", "state"), TABLE)
def test_the_table(standard: None, reason: str, calls: bool, normalized: str, state: str) -> None:
    told = dict(zip(FIELDS, (reason, normalized, state), strict=True))
    assert finish_fields(reason, calls=calls) == told


def test_a_reason_of_another_server_has_no_standard_form(standard: None) -> None:
    assert finish_fields("content_filter") == {"finish_reason": "content_filter"}


@pytest.mark.skipif(STANDARD_REASONS, reason="this langchain-core reads standard finish reasons")
def test_an_older_langchain_gets_what_it_knows() -> None:
    assert finish_fields("stop", calls=True) == {"finish_reason": "stop"}


@needs_standard
@pytest.mark.parametrize(("reason", "calls", "normalized", "state"), TABLE)
def test_langchains_own_function_changes_nothing(
    reason: str, calls: bool, normalized: str, state: str
) -> None:
    theirs = importlib.import_module("langchain_core.language_models._finish_reason")
    fields = finish_fields(reason, calls=calls)
    assert theirs._finish_fields(fields, has_tool_calls=calls) == fields
    assert set(fields) == set(theirs._FINISH_KEYS)


def scripted(server: FakeServer, case: tuple[str, bool, str, str]) -> ChatRocm:
    parts = [say("Hello")] + ([call("add", a=1, b=2)] if case[1] else [])
    script(server, chat(*parts, finish=case[0]))
    return ChatRocm(base_url=server.url)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case[0]}-{case[1]}")
async def test_chunks_whole_answers_and_events_say_the_same(
    scripted_server: FakeServer, standard: None, case: tuple[str, bool, str, str]
) -> None:
    model: Any = scripted(scripted_server, case)
    bound = model.bind_tools([add]) if case[1] else model
    # The reader of calls already says tool_calls of an answer that has some and stops.
    reason = "tool_calls" if case[:2] == ("stop", True) else case[0]
    told = dict(zip(FIELDS, (reason, *case[2:]), strict=True))
    whole = [bound.invoke("Hi"), await bound.ainvoke("Hi")]
    chunks = list(bound.stream("Hi"))
    whole.append(chunks[0] + chunks[1:])
    for message in whole:
        metadata = message.response_metadata
        assert {name: metadata.get(name) for name in FIELDS} == told
    made: list[Any] = list(bound.stream_events("Hi", version="v3"))
    made_async: list[Any] = [e async for e in await bound.astream_events("Hi", version="v3")]
    for events in (made, made_async):
        finish = events[-1]
        assert finish["event"] == "message-finish"
        assert {name: finish.get(name) for name in FIELDS} == told
        assert {name: finish["metadata"].get(name) for name in FIELDS} == told
    output = bound.stream_events("Hi", version="v3").output
    assert {name: output.response_metadata.get(name) for name in FIELDS} == told


@pytest.fixture
def scripted_server(scripted: FakeServer) -> FakeServer:
    return scripted


@needs_standard
def test_langchains_bridge_makes_the_same_of_our_chunks(scripted_server: FakeServer) -> None:
    """The fast path is not the poorer one."""
    bridge = importlib.import_module("langchain_core.language_models._compat_bridge")
    for case in TABLE:
        model = scripted(scripted_server, case)
        bound: Any = model.bind_tools([add]) if case[1] else model
        ours = list(bound.stream_events("Hi", version="v3"))[-1]
        chunks = list(bound.bound._stream([], **bound.kwargs)) if case[1] else None
        theirs = list(bridge.chunks_to_events(iter(chunks or model._stream([]))))[-1]
        assert {n: ours.get(n) for n in FIELDS} == {n: theirs.get(n) for n in FIELDS}


def test_the_reader_of_chunks_notes_calls() -> None:
    from rocm_core import StreamEvent, ToolCallDelta

    delta = ToolCallDelta(0, "c", "add", "{}")
    stream = [StreamEvent(tool_calls=(delta,)), StreamEvent(finish_reason="stop")]
    assert merged(chat_chunks(stream)).response_metadata["finish_reason"] == "stop"


async def test_every_way_gives_the_message_one_id(chat: ChatRocm) -> None:
    """``lc_run--`` and the id of the run, in whole answers, chunks and events."""
    for version in ("v0", "v1"):
        model = chat.model_copy(update={"output_version": version})
        run = uuid4()
        expected = f"lc_run--{run}"
        config: Any = {"run_id": run}
        assert {chunk.id for chunk in model.stream("Hi", config)} == {expected}
        start: Any = next(iter(model.stream_events("Hi", config, version="v3")))
        assert start["id"] == expected
        assert model.stream_events("Hi", config, version="v3").output.id == expected
        stream = await model.astream_events("Hi", config, version="v3")
        assert (await stream.output).id == expected
        for whole in (model.invoke("Hi", config), await model.ainvoke("Hi", config)):
            assert str(whole.id).startswith(expected)
        model.close()
