"""Convert the parts of a message's content to the forms that llama-server takes.

text                              {"type": "text", "text": …}
image: URL, base64                {"type": "image_url", "image_url": {"url": …}}
  (also as Anthropic writes it: {"type": "image", "source": {…}})
audio: base64 (wav, mp3)          {"type": "input_audio", "input_audio": {"data", "format"}}

A ``file://`` URL stays one: the core opens the file, if ``media_root`` allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_openai_data_block

from rocm_core.errors import ConfigError

TEXT = frozenset({"text", "text-plain", "output_text", "input_text"})
MEDIA = frozenset(
    {*("image", "image_url", "input_image", "audio", "input_audio", "video", "media")}
    | {*("file", "input_file", "document")}
)
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "mp3": "mp3"}


def request_part(part: str | Mapping[str, Any], message: BaseMessage) -> dict[str, Any]:
    """Convert one part of the content of ``message``.

    Args:
        part: text, or a content block in LangChain's, OpenAI's or Anthropic's form.
        message: the message that has the part.

    Returns:
        A part of type ``text``, ``image_url`` or ``input_audio``.

    Raises:
        ConfigError: llama-server takes no such part.
    """
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type", "text" if "text" in part else None)
    if kind in TEXT and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "image_url" and "image_url" in part:
        image = part["image_url"]
        return _image({"url": image} if isinstance(image, str) else dict(image))
    if kind == "input_audio" and "input_audio" in part:
        return _audio(dict(part["input_audio"]))
    if kind == "image" and isinstance(part.get("source"), Mapping):
        return _image({"url": _source_url(part["source"])})
    if kind in ("image", "audio"):
        return _data_part(part, message)
    raise unknown_part(part, message)


def _data_part(part: Mapping[str, Any], message: BaseMessage) -> dict[str, Any]:
    """Convert LangChain's own image and audio blocks."""
    try:
        converted = convert_to_openai_data_block(dict(part))
    except (KeyError, ValueError) as error:
        raise unknown_part(part, message) from error
    if converted.get("type") == "image_url":
        return _image(converted["image_url"])
    if converted.get("type") == "input_audio":
        return _audio(converted["input_audio"])
    raise unknown_part(part, message)


def _source_url(source: Mapping[str, Any]) -> Any:
    """Return the URL of an image in Anthropic's form, which LangChain's agents do not convert."""
    if source.get("type") == "base64":
        return f"data:{source.get('media_type', 'image/png')};base64,{source.get('data', '')}"
    return source.get("url")


def _image(image: dict[str, Any]) -> dict[str, Any]:
    if image.get("url") is None:
        raise ConfigError("an image in a message needs its URL, or its data as base64")
    return {"type": "image_url", "image_url": image}


def _audio(audio: dict[str, Any]) -> dict[str, Any]:
    format_ = str(audio.get("format", ""))
    audio["format"] = _AUDIO_FORMATS.get(format_, format_)
    return {"type": "input_audio", "input_audio": audio}


def is_cache_point(part: str | Mapping[str, Any]) -> bool:
    """Return whether a part only marks where a provider's cache ends: llama-server caches all."""
    if isinstance(part, str):
        return False
    return part.keys() == {"cachePoint"} or part.get("type") in ("cachePoint", "cache_point")


def unknown_part(part: Mapping[str, Any], message: BaseMessage) -> ConfigError:
    """Return the error for a part that cannot be sent, with what to do instead."""
    if "pdf" in str(part.get("mime_type")) or part.get("type") == "file":
        return ConfigError(
            "a file in a message cannot be sent: llama.cpp reads no PDF nor other documents. "
            "Extract its text (LangChain's document loaders do), or send its pages as images."
        )
    kind = part.get("type")
    if kind == "non_standard" and isinstance(value := part.get("value"), Mapping):
        kind = value.get("type", kind)
    return ConfigError(
        f"a content part of type {kind!r} (keys {sorted(map(str, part))}) in a "
        f"{type(message).__name__} cannot be sent to llama-server: it takes text, image_url and "
        "input_audio parts."
    )
