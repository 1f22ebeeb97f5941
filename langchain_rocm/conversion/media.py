"""Convert the parts of a message's content to the forms that llama-server takes.

text                              {"type": "text", "text": …}
image: URL, base64                {"type": "image_url", "image_url": {"url": …}}
  (also as Anthropic writes it: {"type": "image", "source": {…}})
audio: base64 (wav, mp3)          {"type": "input_audio", "input_audio": {"data", "format"}}
audio: URL                        {"type": "input_audio", "input_audio": {"url"}}
video: URL, base64                {"type": "input_video", "input_video": {"url" or "data"}}

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
    | {*("input_video", "video_url")}
    | {*("file", "input_file", "document")}
)
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "mp3": "mp3"}


def request_part(part: str | Mapping[str, Any], message: BaseMessage) -> dict[str, Any]:
    """Convert one part of the content of ``message``.

    Args:
        part: text, or a content block in LangChain's, OpenAI's or Anthropic's form.
        message: the message that has the part.

    Returns:
        A part of type ``text``, ``image_url``, ``input_audio`` or ``input_video``.

    Raises:
        ConfigError: llama-server takes no such part.
    """
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type", "text" if "text" in part else None)
    if kind in TEXT and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    made = _image_part(kind, part) or _sound_or_video(kind, part)
    if made is None and kind in ("image", "audio"):
        made = _data_part(part, message)
    if made is None:
        raise unknown_part(part, message)
    return made


def _image_part(kind: Any, part: Mapping[str, Any]) -> dict[str, Any] | None:
    if kind == "image_url" and "image_url" in part:
        image = part["image_url"]
        return _image({"url": image} if isinstance(image, str) else dict(image))
    if kind == "image" and isinstance(part.get("source"), Mapping):
        return _image({"url": _source_url(part["source"])})
    return None


def _sound_or_video(kind: Any, part: Mapping[str, Any]) -> dict[str, Any] | None:
    if kind == "input_audio" and "input_audio" in part:
        return _audio(dict(part["input_audio"]))
    if kind == "audio" and (url := _url(part)):
        return {"type": "input_audio", "input_audio": {"url": url}}
    if kind in ("video", "input_video", "video_url") and (video := _video(part)):
        return {"type": "input_video", "input_video": video}
    return None


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


def _video(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return where a video is: LangChain's block (also as it was before), OpenAI's, or ours."""
    held = part.get(part["type"])
    if isinstance(held, str):
        held = {"url": held}
    for place in (held, part) if isinstance(held, Mapping) else (part,):
        if url := _url(place):
            return {"url": url}
        if isinstance(data := place.get("base64") or place.get("data"), str):
            return {"data": data}
    return None


def _url(part: Mapping[str, Any]) -> str | None:
    url = part.get("url")
    return url if isinstance(url, str) and url else None


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
        f"{type(message).__name__} cannot be sent to llama-server: it takes text, image_url, "
        "input_audio and input_video parts."
    )
