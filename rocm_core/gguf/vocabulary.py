"""Read the vocabulary in a header: tokens, their types and scores, merges.

Keys: llama.cpp ``gguf-py/gguf/constants.py``, class ``Keys.Tokenizer``.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rocm_core.errors import InvalidGGUF
from rocm_core.gguf.facts import check_gguf
from rocm_core.gguf.reader import Header, parse_header

_INT8, _UINT8, _INT32, _FLOAT32, _STRING = 1, 0, 5, 6, 8


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a header says of its tokenizer.

    Attributes:
        tokens: the text of each token, by id.
        types: llama.cpp's number of each token's type (``include/llama.h``, ``llama_token_type``);
            empty if the header has none, as the next two.
        scores: of each token.
        merges: pairs of texts with a space between them, the first to merge first.
        charsmap: SentencePiece's table of replacements (``precompiled_charsmap``).
        keys: every key of the header with a scalar or string value.
    """

    tokens: Sequence[str] = field(repr=False)
    types: Sequence[int] = field(repr=False)
    scores: Sequence[float] = field(repr=False)
    merges: Sequence[str] = field(repr=False)
    charsmap: bytes = field(repr=False)
    keys: Mapping[str, Any] = field(repr=False)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of the key ``tokenizer.ggml.<name>``."""
        return self.keys.get(f"tokenizer.ggml.{name}", default)


def read_vocabulary(path: str | os.PathLike[str]) -> Vocabulary:
    """Read the vocabulary of one file; some 0.2 s of CPU time for 150,000 tokens.

    Raises:
        ModelNotFound: the file does not exist or cannot be read.
        InvalidGGUF: it is no GGUF file, its header is damaged, or its vocabulary has arrays of
            other types than llama.cpp reads.
    """
    check_gguf(path)
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return _read(view, parse_header(view))
        except (struct.error, ValueError) as error:
            raise InvalidGGUF(
                f"{os.fspath(path)} has a damaged header: {error}. Download or convert it again."
            ) from error


def _read(view: mmap.mmap, header: Header) -> Vocabulary:
    if header.big_endian:
        raise ValueError("vocabularies in the other byte order are not read")

    def numbers(name: str, *kinds: int) -> tuple[Any, ...]:
        kind, count, start = header.arrays.get(f"tokenizer.ggml.{name}", (kinds[0], 0, 0))
        if kind not in kinds:
            raise ValueError(f"{name} has items of type {kind}")
        code = {_INT8: "b", _UINT8: "B", _INT32: "i", _FLOAT32: "f"}[kind]
        return struct.unpack_from(f"<{count}{code}", view, start)

    def texts(name: str) -> list[str]:
        kind, count, start = header.arrays.get(f"tokenizer.ggml.{name}", (_STRING, 0, 0))
        if kind != _STRING:
            raise ValueError(f"{name} has items of type {kind}")
        return _texts(view, start, count)

    charsmap = numbers("precompiled_charsmap", _UINT8, _INT8)
    return Vocabulary(
        tokens=texts("tokens"),
        types=numbers("token_type", _INT32),
        scores=numbers("scores", _FLOAT32, _INT32),
        merges=texts("merges"),
        charsmap=bytes(number & 0xFF for number in charsmap),
        keys=header.metadata,
    )


def _texts(view: mmap.mmap, at: int, count: int) -> list[str]:
    # The reader of the header has checked the lengths.
    unpack = struct.Struct("<Q").unpack_from
    found = []
    for _ in range(count):
        start = at + 8
        at = start + unpack(view, at)[0]
        found.append(view[start:at].decode())
    return found
