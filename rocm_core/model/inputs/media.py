"""Files of this machine that a message names: opened below ``media_root`` alone, and sent as data.

    {"image_url": {"url": "file:///…"}}       →  {"image_url": {"url": "data:image/png;base64,…"}}
    {"input_audio": {"data": "file:///…"}}    →  {"input_audio": {"data": …, "format": "wav"}}
    {"input_video": {"url": "file:///…"}}     →  {"input_video": {"data": …}}

A message may come from anywhere: a chat history, a form, a tool. So no file is opened unless
``media_root`` names its directory, none through a link out of it, only for a user's message, and
only one that is an image, audio or a video by its first bytes.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rocm_core.config import LoadConfig
from rocm_core.config.option import expanded
from rocm_core.errors import ConfigError

Message = Mapping[str, Any]

_INSTEAD = (
    "Send the data itself (base64), or allow the files of one directory with media_root=DIR "
    "(LLAMA_ROCM_MEDIA_ROOT)."
)
_USUAL_ROLE = "user"
_WHAT = {
    "image_url": "an image",
    "input_audio": "WAV or MP3 audio",
    "input_video": "an MP4, WebM, Matroska or AVI video",
    "video_url": "an MP4, WebM, Matroska or AVI video",
}
_IMAGES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"))
# MPEG audio of layer III: eleven bits, then version and layer (ISO/IEC 11172-3, 2.4.1.3). A text in
# UTF-16 begins with ff fe.
_MP3 = (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3", b"\xff\xe2")
# The first element of Matroska and WebM (RFC 8794, 11.2.1). An ISO media file has its brand at 4.
_EBML = b"\x1a\x45\xdf\xa3"
# Sizes of the headers that a BMP may have after its 14 bytes.
_BMP_HEADERS = (12, 40, 52, 56, 108, 124)


def with_files(messages: Sequence[Any], config: LoadConfig) -> list[Any]:
    """Return messages with the data of the files that they name; the others as they are.

    Args:
        messages: of a request to ``/v1/chat/completions``.
        config: ``media_root`` and ``media_max_size``.

    Raises:
        ConfigError: a message names a file that may not be opened, is too large, or is neither an
            image nor audio nor a video.
    """
    return [_message(message, config) if _names_files(message) else message for message in messages]


def _names_files(message: Any) -> bool:
    content = message.get("content") if isinstance(message, Mapping) else None
    return isinstance(content, list) and any(map(_named_file, content))


def _named_file(part: Any) -> str:
    """Return the ``file:`` URL that a part of a message names; empty for none."""
    if not isinstance(part, Mapping) or part.get("type") == "text":
        return ""
    inner = [value for value in part.values() if isinstance(value, Mapping)]
    for value in (v for place in (part, *inner) for v in place.values()):
        if isinstance(value, str) and value[:64].lstrip()[:5].lower() == "file:":
            return value.strip()
    return ""


def _message(message: Message, config: LoadConfig) -> dict[str, Any]:
    role = message.get("role")
    if role != _USUAL_ROLE:
        raise ConfigError(
            f"a message of the role {role!r} names a file: one of this machine is opened only for "
            "the user's messages. Send the data itself (base64)."
        )
    return {**message, "content": [_part(part, config) for part in message["content"]]}


def parts_with_files(parts: Sequence[Any], config: LoadConfig) -> list[Any]:
    """Return parts of one content with the data of their files; errors as ``with_files``."""
    return [_part(part, config) for part in parts]


def _part(part: Any, config: LoadConfig) -> Any:
    url = _named_file(part)
    if not url:
        return part
    kind = part.get("type")
    if kind not in _WHAT:
        raise ConfigError(f"a part of type {kind!r} of a message names a file, {url!r:.200}")
    data = _read(url, config)
    found, name = _recognized(data)
    text = base64.b64encode(data).decode("ascii")
    if kind == "image_url" and found == "image":
        held = part["image_url"] if isinstance(part["image_url"], Mapping) else {}
        return {**part, "image_url": {**held, "url": f"data:image/{name};base64,{text}"}}
    if kind == "input_audio" and found == "audio":
        return {**part, "input_audio": {"data": text, "format": name}}
    if kind in ("input_video", "video_url") and found == "video":
        return {"type": "input_video", "input_video": {"data": text}}
    raise ConfigError(f"{url!r:.200} is not sent: by its first bytes it is not {_WHAT[kind]}")


def _read(url: str, config: LoadConfig) -> bytes:
    if config.media_root is None:
        raise ConfigError(
            f"a message names a file of this machine, {url!r:.200}, and no message opens one by "
            f"itself. {_INSTEAD}"
        )
    root = expanded(config.media_root).resolve()
    path = _path(url)
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root) or real == root:
        raise ConfigError(f"{path} is not below media_root={config.media_root}, links followed")
    limit = int(config.media_max_size)
    try:
        with os.fdopen(_opened(root, real.relative_to(root).parts), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"cannot read {path}: it is no regular file")
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(
            f"{path} is not sent: it has more than media_max_size={limit} bytes. Make it smaller, "
            "or raise that."
        )
    return data


def _path(url: str) -> Path:
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict")
    except ValueError as error:
        raise ConfigError(f"{url!r:.200} names no file: {error}") from None
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise ConfigError(f"{url!r:.200} names no file: write file:///, then the whole path")
    if os.name == "nt":
        path = path.lstrip("/")
    return Path(path)


def _opened(root: Path, parts: Sequence[str]) -> int:
    """Open a file below ``root`` step by step, so that no link made meanwhile leads out of it."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    if os.open not in os.supports_dir_fd:
        return os.open(root.joinpath(*parts), flags | getattr(os, "O_BINARY", 0))
    here = os.open(root, flags | os.O_DIRECTORY)
    for number, part in enumerate(parts, 1):
        directory = os.O_DIRECTORY if number < len(parts) else 0
        try:
            here, above = os.open(part, flags | os.O_NOFOLLOW | directory, dir_fd=here), here
        except OSError:
            os.close(here)
            raise
        os.close(above)
    return here


def _recognized(data: bytes) -> tuple[str, str]:
    """Return the sort of a file (``image``, ``audio``, ``video``) and its format, by its bytes.

    Both are empty for any other file.
    """
    for magic, name in _IMAGES:
        if data.startswith(magic):
            return "image", name
    if data[:4] == b"RIFF":
        kinds = {b"WEBP": ("image", "webp"), b"WAVE": ("audio", "wav"), b"AVI ": ("video", "avi")}
        return kinds.get(data[8:12], ("", ""))
    if data[4:8] == b"ftyp" or data.startswith(_EBML):
        return "video", "mp4" if data[4:8] == b"ftyp" else "webm"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "image", "bmp"
    if data.startswith(_MP3) or (data[:3] == b"ID3" and data[3:5] < b"\x10"):
        return "audio", "mp3"
    return "", ""
