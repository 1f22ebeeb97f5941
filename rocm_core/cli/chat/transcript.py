"""A conversation as a file: what ``/save`` writes and ``/load`` reads.

    {"format": "llama-rocm chat", "version": 1, "model": …, "system": …, "messages": […]}

A file may come from anywhere: only text, and images and audio that are inside of it, are taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rocm_core.errors import ConfigError

_FORMAT = "llama-rocm chat"
_VERSION = 1
_ROLES = ("user", "assistant")
_LARGEST_FILE = 256 << 20


@dataclass(frozen=True)
class Saved:
    """A saved conversation.

    Attributes:
        model: name of the model that answered last.
        system: the system prompt; empty for none.
        messages: questions and answers, as the API takes them.
    """

    model: str
    system: str
    messages: list[dict[str, Any]]


def write(path: Path, saved: Saved) -> None:
    """Write a conversation, readable by its owner alone.

    Raises:
        ConfigError: another program's file is there, or the path cannot be written.
    """
    if path.exists():
        try:
            read(path)
        except ConfigError:
            raise ConfigError(f"{path} is there, and is no saved conversation") from None
    kept = {"format": _FORMAT, "version": _VERSION, **asdict(saved)}
    try:
        _replace(path, json.dumps(kept, ensure_ascii=False, indent=1))
    except (OSError, UnicodeEncodeError) as error:
        raise ConfigError(f"{path} cannot be written: {error}") from None


def read(path: Path) -> Saved:
    """Return a conversation that ``write`` wrote.

    Raises:
        ConfigError: the file cannot be read, or is no saved conversation.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    try:
        kept = json.loads(text) if len(text) <= _LARGEST_FILE else None
    except (ValueError, RecursionError):
        kept = None
    if not (isinstance(kept, dict) and kept.get("format") == _FORMAT and _is_whole(kept)):
        raise ConfigError(f"{path} is no conversation that /save wrote")
    if kept.get("version") != _VERSION:
        raise ConfigError(f"{path} was written by another version of llama-rocm chat")
    return Saved(kept["model"], kept["system"], kept["messages"])


def _is_whole(kept: dict[str, Any]) -> bool:
    messages = kept.get("messages")
    texts = isinstance(kept.get("system"), str) and isinstance(kept.get("model"), str)
    return texts and isinstance(messages, list) and all(map(_is_message, messages))


def _is_message(given: Any) -> bool:
    if not isinstance(given, dict) or set(given) != {"role", "content"}:
        return False
    content = given["content"]
    parts = isinstance(content, list) and all(map(_is_part, content))
    return given["role"] in _ROLES and (isinstance(content, str) or parts)


def _is_part(given: Any) -> bool:
    match given:
        case {"type": "text", "text": str(), **more}:
            return not more
        case {"type": "image_url", "image_url": {"url": str(url), **inner}, **more}:
            return url.startswith("data:image/") and not (inner or more)
        case {"type": "input_audio", "input_audio": {"data": str(), "format": str(), **inner}}:
            return not inner
        case _:
            return False


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".chat-")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
