"""LlamaIndex messages become request messages, and nothing is lost or changed on the way."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_rocm.messages import to_request
from rocm_core.errors import ConfigError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20)


def request(*blocks: ContentBlock, **more: Any) -> dict[str, Any]:
    return to_request([ChatMessage(role="user", blocks=list(blocks), **more)])[0]


def image_url(block: ImageBlock) -> str:
    url: str = request(block)["content"][0]["image_url"]["url"]
    return url


@pytest.mark.parametrize(
    ("role", "sent"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "system"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_roles(role: MessageRole, sent: str) -> None:
    assert to_request([ChatMessage("Hi", role=role)]) == [{"role": sent, "content": "Hi"}]


def test_every_role_is_known() -> None:
    assert len(to_request([ChatMessage("Hi", role=role) for role in MessageRole])) == 8


def test_text_blocks_join_as_the_content_of_a_message_does() -> None:
    message = ChatMessage(blocks=[TextBlock(text="one"), TextBlock(text="two")])
    assert to_request([message])[0]["content"] == message.content == "one\ntwo"


def test_empty_message() -> None:
    assert request() == {"role": "user", "content": ""}


def test_text_and_image_keep_their_order() -> None:
    sent = request(TextBlock(text="a"), ImageBlock(image=PNG), TextBlock(text="b"))
    assert sent["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": PNG_URL}},
        {"type": "text", "text": "b"},
    ]


def test_image_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    # The core opens it, where that is allowed.
    assert image_url(ImageBlock(path=path)) == image_url(ImageBlock(url=path.as_uri()))
    assert image_url(ImageBlock(path=path)) == path.as_uri()
    sent = request(AudioBlock(path=path, format="wav"))["content"][0]["input_audio"]
    assert sent == request(AudioBlock(url=path.as_uri(), format="wav"))["content"][0]["input_audio"]
    assert sent == {"data": path.as_uri(), "format": "wav"}


def test_image_from_an_open_file() -> None:
    assert image_url(ImageBlock(image=io.BytesIO(PNG), image_mimetype="image/png")) == PNG_URL


@pytest.mark.parametrize("url", ["https://example.com/x.png", PNG_URL])
def test_image_addresses_are_left_to_the_server(url: str) -> None:
    assert image_url(ImageBlock(url=url)) == url


def test_image_of_unknown_kind_is_still_an_image() -> None:
    assert image_url(ImageBlock(image=b"what is this?")).startswith("data:image/")


def test_audio() -> None:
    sent = request(AudioBlock(audio=WAV))["content"][0]
    assert sent["type"] == "input_audio"
    assert sent["input_audio"]["format"] == "wav"
    assert base64.b64decode(sent["input_audio"]["data"]) == WAV


def test_audio_of_another_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="WAV and MP3"):
        request(AudioBlock(audio=b"OggS" + bytes(32), format="ogg"))


def test_cache_points_and_thoughts_are_not_sent() -> None:
    sent = request(
        ThinkingBlock(content="hm"),
        TextBlock(text="Hi"),
        CachePoint(cache_control=CacheControl(type="ephemeral")),
    )
    assert sent == {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    "block",
    [
        DocumentBlock(data=b"%PDF-1.7", document_mimetype="application/pdf"),
        CitableBlock(title="t", source="s", content=[TextBlock(text="x")]),
        CitationBlock(
            cited_content=TextBlock(text="x"), source="s", title="t", additional_location_info={}
        ),
    ],
    ids=lambda block: type(block).__name__,
)
def test_other_blocks_are_refused_with_a_remedy(block: ContentBlock) -> None:
    with pytest.raises(ConfigError, match=f"{type(block).__name__}.*TextBlock"):
        request(block)


def test_tool_calls_and_their_results() -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 2, "city": "Zürich"})
    asked = ChatMessage(role="assistant", blocks=[TextBlock(text="Let me see."), call])
    result = ChatMessage("5", role="tool", additional_kwargs={"tool_call_id": "c1", "name": "add"})
    assert to_request([asked, result]) == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 2, "city": "Zürich"}'},
                }
            ],
        },
        {"role": "tool", "content": "5", "tool_call_id": "c1", "name": "add"},
    ]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [('{"a": 1}', '{"a": 1}'), ("", "{}"), (" ", "{}"), ('{"a":', "{}"), ("[1]", "{}")],
)
def test_tool_arguments_that_are_text_already(text: str, arguments: str) -> None:
    """With arguments that are no JSON object, the server would refuse every further turn."""
    sent = request(ToolCallBlock(tool_name="add", tool_kwargs=text))
    assert sent["content"] == ""
    assert sent["tool_calls"] == [
        {"type": "function", "function": {"name": "add", "arguments": arguments}}
    ]


def test_other_additional_kwargs_stay_here() -> None:
    assert request(TextBlock(text="Hi"), additional_kwargs={"secret": 1}).keys() == {
        "role",
        "content",
    }


def test_messages_are_not_changed() -> None:
    messages = [
        ChatMessage("Hi", role="developer"),
        ChatMessage(role="user", blocks=[TextBlock(text="a"), ImageBlock(image=PNG)]),
    ]
    before = [message.model_dump_json() for message in messages]
    to_request(messages)
    assert [message.model_dump_json() for message in messages] == before
