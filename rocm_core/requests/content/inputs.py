"""Inputs to embed: texts, and contents of several parts. Pure.

    "text"                                            →  "text"
    [{"type": "image_url", …}, {"type": "text", …}]   →  {"content": […]}

Parts are those of a chat's messages (llama.cpp ``tools/server/README.md``, ``/v1/embeddings``).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from rocm_core.errors import ConfigError
from rocm_core.requests.content.abilities import NEEDS
from rocm_core.requests.long_runs import refuse_long_runs
from rocm_core.requests.texts import check_texts

Part = Mapping[str, Any]
EmbeddingInput = str | Sequence[Part]
_URLS = ("http:", "https:", "data:", "file:")
# llama-server computes the vector of an input together with the text at its end: one that ends with
# a picture leaves nothing to compute it with, and ends the server (b11434).
_LAST = {"type": "text", "text": "\n"}


def is_content(given: Any) -> bool:
    """Return whether an input is a content of several parts, not a text."""
    return not isinstance(given, (str, bytes)) and isinstance(given, Sequence)


class Inputs(NamedTuple):
    """What a request to embed has.

    Attributes:
        names: how errors call each input: by its text, media by their type.
        texts: the same if all of them are texts; else empty.
        media: the types of the parts that are no text, each once.
        wire: the ``input`` of ``POST /v1/embeddings``; a content ends with a text in any case.
    """

    names: Sequence[str]
    texts: Sequence[str]
    media: Sequence[str]
    wire: list[str | dict[str, Any]]


def read_inputs(inputs: Sequence[EmbeddingInput], first: int = 0) -> Inputs:
    """Return the parts of a request to embed these inputs.

    Args:
        inputs: texts, and contents of parts.
        first: the index of the first one in the caller's list, for errors.

    Raises:
        ConfigError: ``inputs`` is one text; an input is neither a text nor a list of parts of known
            types, or one of its texts cannot be sent (as ``check_texts``, ``refuse_long_runs``).
    """
    names = _names(inputs, first)
    contents = [given for given in inputs if not isinstance(given, str)]
    kinds = (part["type"] for parts in contents for part in parts)
    return Inputs(
        names,
        () if contents else names,
        tuple(dict.fromkeys(kind for kind in kinds if kind in NEEDS)),
        [given if isinstance(given, str) else _wire_content(given) for given in inputs],
    )


def image_content(image: str | bytes | os.PathLike[str] | IO[bytes]) -> list[Part]:
    """Return the content of one image alone.

    Args:
        image: its bytes, a binary file object, a URL (``https:``, ``data:``, ``file:``), or the
            path of a file. A file is opened later, if ``media_root`` allows it.
    """
    if isinstance(image, str) and image.startswith(_URLS):
        url = image
    elif isinstance(image, (str, os.PathLike)):
        url = Path(image).absolute().as_uri()
    else:
        data = image if isinstance(image, bytes) else image.read()
        # The server recognizes the format by the bytes, and only requires some image type.
        url = f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    return [{"type": "image_url", "image_url": {"url": url}}]


def _names(inputs: Sequence[Any], first: int) -> list[str]:
    if isinstance(inputs, (str, bytes)):
        check_texts(inputs)
    names = []
    for place, given in enumerate(inputs, first):
        if is_content(given):
            names.append("".join(_name(part, place) for part in given))
            if not given:
                raise ConfigError(f"texts[{place}] has no parts: leave it out")
        else:
            names.append(given)
    check_texts(names, first=first)
    refuse_long_runs(names, first=first)
    return names


def _name(part: Any, place: int) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind in NEEDS:
        return f"<{kind}>"
    raise ConfigError(
        f"texts[{place}] has a part that cannot be embedded, {part!r:.80}: parts are of type text "
        f"or {', '.join(NEEDS)}"
    )


def _wire_content(parts: Sequence[Part]) -> dict[str, Any]:
    sent = [dict(part) for part in parts]
    if sent[-1]["type"] != "text" or not sent[-1]["text"]:
        sent.append(dict(_LAST))
    return {"content": sent}
