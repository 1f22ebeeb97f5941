"""What a GGUF file's header says. Reads the header only, never the tensors.

Layout: ggml ``docs/gguf.md``. Versions 2 and 3 (version 1 had 32-bit counts and is long gone).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocm_core.errors import InvalidGGUF, ModelNotFound

_MAGIC = b"GGUF"
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
# Several times any real header: damaged counts must not keep us busy, nor lengths fill the memory.
_LONGEST_HEADER, _MOST_PAIRS = 1 << 26, 1 << 16


@dataclass(frozen=True, slots=True)
class GGUFInfo:
    """Facts of one file; ``None`` where the header does not say.

    Attributes:
        metadata: every key with a scalar or string value; arrays are left out.
    """

    path: Path
    version: int
    architecture: str | None
    name: str | None
    context_length: int | None
    chat_template: str | None
    metadata: Mapping[str, Any]


def check_gguf(path: str | os.PathLike[str]) -> None:
    """Fail early, with words, on what is no model file at all.

    Raises:
        ModelNotFound: no such file, or not readable.
        InvalidGGUF: it does not begin like a GGUF file.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ModelNotFound(f"cannot read the model {os.fspath(path)}: {error.strerror}") from error
    if head not in (_MAGIC, _MAGIC[::-1]):
        raise InvalidGGUF(
            f"{os.fspath(path)} is not a GGUF file (it begins with {head!r}). Give a .gguf file; "
            "convert other formats with llama.cpp's convert_hf_to_gguf.py."
        )


def read_gguf(path: str | os.PathLike[str]) -> GGUFInfo:
    """Read a header.

    Raises:
        ModelNotFound: no such file, or not readable.
        InvalidGGUF: the header is damaged, cut short, or of an unknown version.
    """
    check_gguf(path)
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                version, metadata = _Reader(view).header()
        except (struct.error, UnicodeDecodeError, KeyError, OverflowError, ValueError) as error:
            raise InvalidGGUF(
                f"{os.fspath(path)} has a damaged header: {error}. Download or convert it again."
            ) from error
    architecture = _text(metadata, "general.architecture")
    context_length = metadata.get(f"{architecture}.context_length")
    return GGUFInfo(
        path=Path(path),
        version=version,
        architecture=architecture,
        name=_text(metadata, "general.name"),
        context_length=context_length if type(context_length) is int else None,
        chat_template=_text(metadata, "tokenizer.chat_template"),
        metadata=metadata,
    )


def _text(metadata: Mapping[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) else None


class _Reader:
    """A cursor over the bytes of a header."""

    def __init__(self, view: mmap.mmap) -> None:
        self._view = view
        self._at = 4
        self._end = min(len(view), _LONGEST_HEADER)
        # The version is small, so a swapped one shows the byte order of the writer.
        self._order = "<" if struct.unpack_from("<I", view, 4)[0] < 1 << 16 else ">"

    def header(self) -> tuple[int, dict[str, Any]]:
        version = self._scalar("I")
        if version not in (2, 3):
            raise ValueError(f"GGUF version {version} is not known (2 and 3 are)")
        _tensors, pairs = self._scalar("Q"), self._scalar("Q")
        if pairs > _MOST_PAIRS:
            raise ValueError(f"it claims {pairs} keys")
        metadata = {}
        for _ in range(pairs):
            key = self._string()
            kind = self._scalar("I")
            if kind == _ARRAY:
                self._skip_array()
            else:
                metadata[key] = self._value(kind)
        return version, metadata

    def _scalar(self, code: str) -> Any:
        value = struct.unpack_from(self._order + code, self._view, self._at)[0]
        self._at += struct.calcsize("=" + code)
        if self._at > self._end:
            raise ValueError("it is longer than any real one")
        return value

    def _skip_string(self) -> None:
        length = self._scalar("Q")
        if length > self._end - self._at:
            raise ValueError("a string runs past the end")
        self._at += length

    def _string(self) -> str:
        start = self._at + 8
        self._skip_string()
        return self._view[start : self._at].decode("utf-8")

    def _value(self, kind: int) -> Any:
        return self._string() if kind == _STRING else self._scalar(_SCALARS[kind])

    def _skip_array(self) -> None:
        kind, count = self._scalar("I"), self._scalar("Q")
        if kind in _SCALARS:
            self._at += count * struct.calcsize("=" + _SCALARS[kind])
        elif kind == _STRING:
            for _ in range(count):
                self._skip_string()
        else:
            raise ValueError(f"arrays of type {kind} are not known")
        if self._at > self._end:
            raise ValueError("an array runs past the end")
