"""Convert LlamaIndex messages to the ``messages`` of ``/v1/chat/completions``. Pure.

    text                 → a string, blocks joined by a line break as ``ChatMessage.content`` does
    text, image, audio,  → content parts, in order; a file as its URL: the core opens it, if
    video                  ``media_root`` allows that
    tool call            → ``tool_calls`` of the message (``conversion.earlier_calls``)
    thinking             → ``reasoning_content`` beside tool calls, whose turn goes on; else
                           nothing, because chat templates drop the reasoning of earlier turns
    cache point          → nothing, because llama-server caches every prefix anyway
    citation             → nothing in answers, whose text is another block
    anything else        → ``ConfigError`` that says what to do instead

The caller's messages are never changed.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import IOBase
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitationBlock,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index_rocm.conversion.earlier_calls import earlier_calls
from rocm_core.errors import ConfigError

# Chat templates know four roles. "developer" is OpenAI's newer name for "system".
_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
# Fields of a request's message that LlamaIndex keeps in additional_kwargs.
_EXTRA_FIELDS = ("tool_call_id", "name")
_UNSENT: tuple[type, ...] = (ThinkingBlock, CachePoint, ToolCallBlock)


def to_request(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Convert messages, one to one.

    Raises:
        ConfigError: llama-server does not take a block's class, or an audio block's format.
    """
    return [_message(message) for message in messages]


def _message(message: ChatMessage) -> dict[str, Any]:
    out: dict[str, Any] = {"role": _ROLES[message.role], "content": _content(message)}
    if calls := earlier_calls(message):
        out["tool_calls"] = calls
        if thoughts := _thoughts(message.blocks):
            out["reasoning_content"] = thoughts
    for name in _EXTRA_FIELDS:
        # Other integrations write None for what a result does not have.
        if (value := message.additional_kwargs.get(name)) is not None:
            out[name] = str(value)
    return out


def _thoughts(blocks: Sequence[ContentBlock]) -> str:
    return "".join(block.content or "" for block in blocks if isinstance(block, ThinkingBlock))


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    unsent = _UNSENT
    if _ROLES[message.role] == "assistant":
        # Where another provider's answer has its facts from; its text is a block of its own.
        unsent = (*_UNSENT, CitationBlock)
    sent = [block for block in message.blocks if not isinstance(block, unsent)]
    texts = [block.text for block in sent if isinstance(block, TextBlock)]
    if len(texts) == len(sent):
        return "\n".join(texts)
    return [_part(block) for block in sent]


def _part(block: ContentBlock) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ImageBlock):
        return {"type": "image_url", "image_url": {"url": _image_url(block)}}
    if isinstance(block, AudioBlock):
        return {"type": "input_audio", "input_audio": _audio(block)}
    if isinstance(block, VideoBlock):
        return {"type": "input_video", "input_video": _video(block)}
    raise ConfigError(
        f"llama-server takes text, images, audio and videos, not a {type(block).__name__}: put its "
        "text into a TextBlock, or its pages or frames into ImageBlocks"
    )


def _image_url(block: ImageBlock) -> str:
    # The server fetches a web address itself, the core opens a file; anything else is sent inside
    # the request.
    url = str(block.url or "")
    if block.image is None and url.startswith(("http://", "https://", "data:", "file:")):
        return url
    if block.image is None and block.path is not None:
        return block.path.absolute().as_uri()
    # The server recognizes the format by the bytes, and only requires some image type.
    kind = block.image_mimetype or "image/jpeg"
    return f"data:{kind};base64,{_base64(block.resolve_image())}"


def _audio(block: AudioBlock) -> dict[str, str]:
    if block.format not in ("wav", "mp3"):
        raise ConfigError(
            f"llama-server takes WAV and MP3 audio, not {block.format!r}: convert it, or name its "
            "format, AudioBlock(format='wav')"
        )
    if block.audio is None and block.path is not None:
        return {"data": block.path.absolute().as_uri(), "format": block.format}
    if block.audio is None and (url := str(block.url or "")).startswith("file:"):
        return {"data": url, "format": block.format}
    return {"data": _base64(block.resolve_audio()), "format": block.format}


def _video(block: VideoBlock) -> dict[str, str]:
    # As with images: the server fetches a web address, the core opens a file.
    url = str(block.url or "")
    if block.video is None and url.startswith(("http://", "https://", "data:", "file:")):
        return {"url": url}
    if block.video is None and block.path is not None:
        return {"url": block.path.absolute().as_uri()}
    return {"data": _base64(block.resolve_video())}


def _base64(data: IOBase) -> str:
    # Not resolve_…(as_base64=True), which does not encode the bytes of an open file.
    return base64.b64encode(data.read()).decode("ascii")
