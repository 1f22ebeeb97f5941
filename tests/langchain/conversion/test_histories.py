"""Histories that other providers began: what is no content is left out, nothing ends the run."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import uuid
import warnings
from pathlib import Path
from typing import Any, get_args

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages import content as standard
from pydantic import BaseModel

from langchain_rocm import ChatRocm, errors
from langchain_rocm.conversion.messages import request_messages
from rocm_core.errors import ConfigError
from tests.support.models.reciter import ANSWER

# One block of each type, as the providers and LangChain write them.
NOT_CONTENT: list[dict[str, Any]] = [
    {"type": "reasoning", "summary": [], "id": "rs_1", "encrypted_content": "x"},
    {"type": "refusal", "refusal": "I cannot do that."},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "file_search_call", "id": "fs_1", "queries": ["a"], "status": "completed"},
    {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": []},
    {"type": "image_generation_call", "id": "ig_1", "result": "AAAA"},
    {"type": "computer_call", "id": "cu_1", "action": {"type": "screenshot"}},
    {"type": "local_shell_call", "id": "ls_1", "action": {}},
    {"type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "output": "1"},
    {"type": "mcp_list_tools", "id": "ml_1", "tools": []},
    {"type": "mcp_approval_request", "id": "ma_1"},
    {"type": "tool_search_call", "id": "ts_1"},
    {"type": "tool_search_output", "id": "ts_2"},
    {"type": "thinking", "thinking": "hm", "signature": "x"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "a"}},
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
    {"type": "web_fetch_tool_result", "tool_use_id": "srv_1", "content": {}},
    {"type": "bash_code_execution_tool_result", "tool_use_id": "srv_1", "content": {}},
    {"type": "mcp_tool_use", "id": "m_1", "name": "f", "input": {}},
    {"type": "mcp_tool_result", "tool_use_id": "m_1", "content": []},
    {"type": "container_upload", "file_id": "f"},
    {"type": "input_json_delta", "partial_json": "{", "index": 0},
    {"type": "compaction", "content": "x"},
    {"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "x"}},
    {"cachePoint": {"type": "default"}},
    {"type": "executable_code", "executable_code": "1", "language": "python", "id": "e"},
    {"type": "code_execution_result", "code_execution_result": "1", "outcome": 1},
    {"type": "server_tool_call", "id": "s_1", "name": "web_search", "args": {"query": "a"}},
    {"type": "server_tool_call_chunk", "id": "s_1", "name": "web_search", "args": "{"},
    {"type": "server_tool_result", "tool_call_id": "s_1", "status": "success", "output": []},
    {"type": "non_standard", "value": {"type": "hologram", "data": "x"}},
    {"type": "citation", "url": "https://example.com"},
    {"type": "non_standard_annotation", "value": {}},
]
CALLS: list[dict[str, Any]] = [
    {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
    {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
    {"type": "tool_call", "id": "c", "name": "f", "args": {"a": 1}},
]
MEDIA = {"image", "audio", "video", "file", "text", "text-plain"}


def one(message: BaseMessage) -> dict[str, Any]:
    [sent] = request_messages([message])
    return sent


def kind(block: dict[str, Any]) -> str:
    return str(block.get("type", next(iter(block))))


@pytest.mark.parametrize("block", NOT_CONTENT, ids=kind)
def test_blocks_that_are_no_content_are_left_out_of_answers(block: dict[str, Any]) -> None:
    answer = AIMessage([{"type": "text", "text": "one "}, block, {"type": "text", "text": "two"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(answer) == {
            "role": "assistant",
            "content": "one two",
            **({"reasoning_content": "hm"} if block.get("type") == "thinking" else {}),
        }


def test_no_type_of_langchains_own_is_forgotten() -> None:
    known = {block.get("type") for block in [*NOT_CONTENT, *CALLS]} | MEDIA
    assert standard.KNOWN_BLOCK_TYPES - known == {"invalid_tool_call", "tool_call_chunk"}
    assert len(get_args(standard.ContentBlock)) >= 14


def test_a_type_that_nobody_knows_is_left_out_with_a_warning() -> None:
    answer = AIMessage([{"type": "hologram", "data": "x"}, {"type": "text", "text": "Hi"}])
    with pytest.warns(UserWarning, match=r"'hologram' .*block of type 'text'"):
        assert one(answer)["content"] == "Hi"


@pytest.mark.parametrize("block", NOT_CONTENT, ids=kind)
@pytest.mark.parametrize("cls", [HumanMessage, SystemMessage, ToolMessage])
def test_in_other_messages_they_are_refused_by_their_name(cls: Any, block: dict[str, Any]) -> None:
    options = {"tool_call_id": "c"} if cls is ToolMessage else {}
    message = cls([{"type": "text", "text": "one"}, block], **options)
    if "cachePoint" in block:
        assert one(message)["content"] == "one"
        return
    name = block["value"].get("type", kind(block)) if kind(block) == "non_standard" else kind(block)
    with pytest.raises(ConfigError, match=f"{name!r} .* in a {cls.__name__}"):
        one(message)


@pytest.mark.parametrize("block", CALLS, ids=kind)
def test_a_call_is_sent_once_wherever_it_is(block: dict[str, Any]) -> None:
    call = {"name": "f", "args": {"a": 1}, "id": "c"}
    for message in (AIMessage([block], tool_calls=[call]), AIMessage([block])):
        assert one(message)["tool_calls"] == [
            {"type": "function", "id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}
        ]
        with pytest.raises(errors.ConfigError, match=r"\(f\): answer the tools first"):
            ChatRocm(base_url="http://127.0.0.1:9").invoke([HumanMessage("Hi"), message])


def test_texts_of_openais_own_types() -> None:
    assert one(AIMessage([{"type": "output_text", "text": "Hi"}]))["content"] == "Hi"
    assert one(HumanMessage([{"type": "input_text", "text": "Hi"}]))["content"] == "Hi"


# ---------------------------------------------------------------------------
# Arguments of any kind
# ---------------------------------------------------------------------------


class Color(enum.Enum):
    RED = "red"


class Where(BaseModel):
    city: str
    since: datetime.date


@dataclasses.dataclass
class Point:
    x: int
    color: Color


def test_arguments_may_be_objects() -> None:
    id_ = uuid.UUID(int=1)
    args = {
        "day": datetime.date(2026, 11, 28),
        "at": datetime.datetime(2026, 11, 28, 16, 2, tzinfo=datetime.timezone.utc),
        "for": datetime.timedelta(minutes=1),
        "id": id_,
        "color": Color.RED,
        "where": Where(city="Zürich", since=datetime.date(2020, 1, 1)),
        "points": [Point(1, Color.RED)],
        "price": decimal.Decimal("1.10"),
        "tags": {"a"},
        "path": Path("a") / "b",
        "raw": b"\x00",
    }
    [call] = one(AIMessage("", tool_calls=[{"name": "f", "args": args, "id": "c"}]))["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {
        "day": "2026-11-28",
        "at": "2026-11-28T16:02:00+00:00",
        "for": 60.0,
        "id": str(id_),
        "color": "red",
        "where": {"city": "Zürich", "since": "2020-01-01"},
        "points": [{"x": 1, "color": "red"}],
        "price": "1.10",
        "tags": ["a"],
        "path": "a/b",
        "raw": "AA==",
    }


def test_an_argument_without_a_json_form_is_refused_by_its_class() -> None:
    message = AIMessage("", tool_calls=[{"name": "f", "args": {"a": object()}, "id": "c"}])
    with pytest.raises(ConfigError, match="a object, which has no JSON form"):
        one(message)


# ---------------------------------------------------------------------------
# The real engines
# ---------------------------------------------------------------------------


async def test_a_conversation_that_began_in_the_cloud_goes_on_here(chat: ChatRocm) -> None:
    history = [
        HumanMessage("How is the weather?"),
        AIMessage(
            [*NOT_CONTENT, *CALLS[:2], {"type": "text", "text": "Let me see."}],
            tool_calls=[{"name": "f", "args": {"a": datetime.date(2026, 1, 1)}, "id": "c"}],
            response_metadata={"model_provider": "anthropic"},
        ),
        ToolMessage("Rain.", tool_call_id="c"),
        AIMessage([{"type": "refusal", "refusal": "No."}]),
        HumanMessage("And tomorrow?"),
    ]
    for answer in (chat.invoke(history), await chat.ainvoke(history)):
        assert answer.text == ANSWER


def test_half_a_surrogate_pair_is_told_by_its_message(chat: ChatRocm) -> None:
    history: list[BaseMessage] = [HumanMessage("Hi"), HumanMessage("b\ud83d c")]
    where = r"messages\[\d\]\.content, which begins with '.*half a surrogate pair"
    with pytest.raises(errors.ConfigError, match=where):
        chat.invoke(history)
    with pytest.raises(errors.ConfigError, match=where):
        chat.get_num_tokens_from_messages(history)
    with pytest.raises(errors.ConfigError, match="content, which begins with 'b"):
        chat.get_num_tokens("b\ud83d c")
    with pytest.raises(errors.ConfigError, match=where):
        chat.batch(["Hi", "b\ud83d c"])
