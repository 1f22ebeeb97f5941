"""LangChain messages become the request's messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_rocm.conversion.messages import request_messages
from rocm_core.errors import ConfigError


def one(message: BaseMessage) -> dict[str, Any]:
    [sent] = request_messages([message])
    return sent


def test_roles_and_order() -> None:
    sent = request_messages(
        [
            SystemMessage("Be brief."),
            HumanMessage("Hi"),
            AIMessage("Hello"),
            ToolMessage("42", tool_call_id="call_1"),
            ChatMessage(content="Note", role="developer"),
        ]
    )
    assert sent == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "tool", "content": "42", "tool_call_id": "call_1"},
        {"role": "developer", "content": "Note"},
    ]


def test_nothing_is_something() -> None:
    assert request_messages([]) == []
    assert one(HumanMessage("")) == {"role": "user", "content": ""}


def test_names_are_sent() -> None:
    assert one(HumanMessage("Hi", name="ada"))["name"] == "ada"
    assert one(ToolMessage("1", tool_call_id="c", name="add"))["name"] == "add"
    assert "name" not in one(HumanMessage("Hi"))


def test_a_chunk_is_an_answer_too() -> None:
    assert one(AIMessageChunk(content="Hello")) == {"role": "assistant", "content": "Hello"}


# ---------------------------------------------------------------------------
# Content
# ---------------------------------------------------------------------------


def test_text_parts() -> None:
    text = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert one(HumanMessage([text]))["content"] == "a"
    assert one(HumanMessage([text, "b", {"text": "c"}]))["content"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "text", "text": "c"},
    ]


def test_media_parts() -> None:
    url = "data:image/png;base64,AAAA"
    audio = {"data": "AAAA", "format": "wav"}
    sent = one(
        HumanMessage(
            [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
                {"type": "image_url", "image_url": url},
                {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
                {"type": "image", "url": "https://example.com/a.png"},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
                },
                {"type": "input_audio", "input_audio": audio},
                {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
            ]
        )
    )
    assert sent["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "input_audio", "input_audio": audio},
        {"type": "input_audio", "input_audio": audio},
    ]


def test_an_answer_is_one_string() -> None:
    answer = AIMessage(
        [
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "text", "text": "one "},
            "two",
            {"type": "tool_call", "name": "f", "args": {}, "id": "c"},
        ]
    )
    assert one(answer)["content"] == "one two"


def test_the_messages_stay_as_they_were() -> None:
    message = HumanMessage([{"type": "image_url", "image_url": "https://example.com/a.png"}])
    before = message.model_copy(deep=True)
    one(message)
    assert message == before


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video", "file_id": "f1"},
        {"type": "image", "mime_type": "image/png"},
        {"type": "image_url"},
        {"type": "text"},
        {},
    ],
)
def test_unknown_content_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="it takes text, image_url, input_audio and input_video"):
        one(HumanMessage([part]))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
        {"type": "file", "file": {"file_data": "AAAA", "filename": "a.pdf"}},
        {"type": "file", "url": "https://example.com/a.pdf"},
    ],
)
def test_documents_are_refused_with_the_way_out(part: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"reads no PDF.*Extract its text"):
        one(HumanMessage([part]))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"detail": "low"}},
        {"type": "image", "source": {"type": "file", "file_id": "x"}},
    ],
)
def test_an_image_without_its_data_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs its URL"):
        one(HumanMessage([part]))


def test_an_image_in_an_answer_is_refused() -> None:
    with pytest.raises(ConfigError, match="AIMessage"):
        one(AIMessage([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]))


@pytest.mark.parametrize("message", [FunctionMessage(content="1", name="f"), RemoveMessage(id="1")])
def test_unknown_messages_are_refused(message: BaseMessage) -> None:
    with pytest.raises(ConfigError, match=type(message).__name__):
        one(message)


# ---------------------------------------------------------------------------
# Tool calls, sent back
# ---------------------------------------------------------------------------


def test_tool_calls_are_replayed() -> None:
    call = {"name": "weather", "args": {"city": "Zürich", "days": 2}, "id": "call_1"}
    sent = one(AIMessage("", tool_calls=[call]))
    assert sent["content"] == ""
    [replayed] = sent["tool_calls"]
    assert replayed["type"] == "function"
    assert replayed["id"] == "call_1"
    assert replayed["function"]["name"] == "weather"
    assert json.loads(replayed["function"]["arguments"]) == {"city": "Zürich", "days": 2}
    assert "Zürich" in replayed["function"]["arguments"]


def test_broken_calls_are_replayed_without_their_arguments() -> None:
    broken = {"name": "weather", "args": '{"city": "Zü', "id": "call_1", "error": None}
    [replayed] = one(AIMessage("", invalid_tool_calls=[broken]))["tool_calls"]
    assert replayed["id"] == "call_1"
    assert replayed["function"] == {"name": "weather", "arguments": "{}"}
