"""Parse the bytes of a GGUF header into keys and a tensor list.

Layout: ggml ``docs/gguf.md``. Reads versions 2 and 3 (version 1 had 32-bit counts and is out of
use) in either byte order. Time and memory are bounded whatever the bytes are: every count and
length is checked against the limits below, each several times that of any real header.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from rocm_core.gguf.quantization import tensor_bytes

MAGIC = b"GGUF"
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
_MAX_HEADER = 48 << 20
# A token's text, and the type of an ordinary one (llama.cpp include/llama.h, llama_token_type).
_END, _NORMAL = b"</s>", 1
_MAX_PAIRS, _MAX_TENSORS = 1 << 13, 1 << 15
_MAX_TEXT, _MAX_NAME = 4 << 20, 1 << 10
_MAX_DIMENSIONS = 4
# Longer arrays are vocabularies, not one number per layer.
_MAX_KEPT_ARRAY, _MAX_KEPT_ITEMS = 1 << 10, 1 << 15
_MAX_ELEMENTS = (1 << 63) - 1
# Arrays in arrays (docs/gguf.md allows them): how deep, and how many in a header.
_MAX_NESTING, _MAX_NESTED = 8, 1 << 18


class TensorInfo(NamedTuple):
    """One entry of the tensor list.

    Attributes:
        shape: elements per dimension, the contiguous dimension first (ggml's order).
        type: ggml's type number (``TENSOR_TYPES``).
        offset: bytes from the start of the data section.
        nbytes: bytes of the data; ``None`` for a type that is not in ``TENSOR_TYPES``.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    nbytes: int | None

    @property
    def elements(self) -> int:
        """Number of weights."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header.

    Attributes:
        version: of the format: 2 or 3.
        metadata: keys with scalar or string values; numeric arrays of up to 1,024 items as
            tuples, but none of the tokenizer's. An array of arrays is a tuple of tuples, unless
            one of them is left out.
        lengths: number of items of every array, also of those that ``metadata`` leaves out.
        data_start: bytes from the start of the file to the tensor data.
        ordinary_end: whether the token ``</s>`` of the vocabulary is an ordinary one.
        arrays: type of the items, their number, and the place of the first one in bytes from the
            start of the file, of each of the tokenizer's arrays.
    """

    version: int
    big_endian: bool
    metadata: dict[str, Any]
    lengths: dict[str, int]
    tensors: tuple[TensorInfo, ...]
    data_start: int
    ordinary_end: bool = False
    arrays: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


def parse_header(view: bytes | mmap.mmap) -> Header:
    """Parse a header that starts at the first byte of ``view``; its magic is not checked.

    Raises:
        ValueError, struct.error: the header is damaged, cut short, or of an unknown version.
    """
    return _Reader(view).header()


class _Reader:
    """A cursor over the bytes of a header."""

    def __init__(self, view: bytes | mmap.mmap) -> None:
        self._view = view
        self._at = 4
        self._end = min(len(view), _MAX_HEADER)
        self._text = 0
        self._items = 0
        self._nested_arrays = 0
        self._tokens = self._token_types = (0, 0)
        self._arrays_of_tokenizer: dict[str, tuple[int, int, int]] = {}
        # Versions are small numbers, so a large one was written in the other byte order.
        self._order = "<" if struct.unpack_from("<I", view, 4)[0] < 1 << 16 else ">"
        self._scalars = {code: struct.Struct(self._order + code) for code in _SCALARS.values()}

    def header(self) -> Header:
        version = self._scalar("I")
        if version not in (2, 3):
            raise ValueError(f"GGUF version {version} is not known (2 and 3 are)")
        tensors = self._count("tensors", _MAX_TENSORS)
        pairs = self._count("keys", _MAX_PAIRS)
        metadata: dict[str, Any] = {}
        lengths: dict[str, int] = {}
        for _ in range(pairs):
            key = self._string(_MAX_NAME)
            if key in metadata or key in lengths:
                raise ValueError(f"the key {key!r} comes twice")
            kind = self._scalar("I")
            if kind == _ARRAY:
                lengths[key], values = self._array(key)
                if values is not None:
                    metadata[key] = values
            else:
                metadata[key] = self._value(kind)
        listed = tuple(self._tensor() for _ in range(tensors))
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            raise ValueError(f"the alignment {alignment!r} is no power of two")
        start = -(-self._at // alignment) * alignment
        ordinary = self._token_type(self._end_token()) == _NORMAL
        arrays = self._arrays_of_tokenizer
        big_endian = self._order == ">"
        return Header(version, big_endian, metadata, lengths, listed, start, ordinary, arrays)

    def _end_token(self) -> int | None:
        """Return the id of ``</s>``; ``None`` if the vocabulary lacks it."""
        start, end = self._tokens
        unpack = self._scalars["Q"].unpack_from
        spelled = struct.pack(f"{self._order}Q", len(_END)) + _END
        place = self._view.find(spelled, start, end)
        number = 0
        while 0 <= start < place:  # ids are counted only where the text is found
            start += 8 + unpack(self._view, start)[0]
            number += 1
        return number if start == place else None

    def _token_type(self, token: int | None) -> int | None:
        start, count = self._token_types
        if token is None or token >= count:
            return None
        return int(struct.unpack_from(f"{self._order}i", self._view, start + 4 * token)[0])

    def _scalar(self, code: str) -> Any:
        shape = self._scalars[code]
        value = shape.unpack_from(self._view, self._at)[0]
        self._at += shape.size
        if self._at > self._end:
            raise ValueError("it is longer than any real one")
        return value

    def _count(self, what: str, most: int) -> int:
        count: int = self._scalar("Q")
        if count > most:
            raise ValueError(f"it claims {count} {what}")
        return count

    def _string(self, longest: int) -> str:
        length = self._scalar("Q")
        if length > min(self._end - self._at, longest):
            raise ValueError(f"a text of {length} bytes runs past the end")
        self._text += length
        if self._text > _MAX_TEXT:
            raise ValueError("it holds more text than any real one")
        start, self._at = self._at, self._at + length
        return self._view[start : self._at].decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string(_MAX_TEXT)
        if kind not in _SCALARS:
            raise ValueError(f"values of type {kind} are not known")
        return self._scalar(_SCALARS[kind])

    def _array(self, key: str) -> tuple[int, tuple[Any, ...] | None]:
        before = self._at + 12  # after the type and the number of the items
        kind = self._scalars["I"].unpack_from(self._view, self._at)[0]
        found = self._items_of_array(not key.startswith("tokenizer."), 1)
        if key.startswith("tokenizer.ggml."):
            self._arrays_of_tokenizer[key] = (kind, found[0], before)
        if key == "tokenizer.ggml.tokens":
            self._tokens = (before, self._at)
        elif key == "tokenizer.ggml.token_type" and self._at - before == 4 * found[0]:
            self._token_types = (before, found[0])
        return found

    def _items_of_array(self, keep: bool, depth: int) -> tuple[int, tuple[Any, ...] | None]:
        """Return the number of items, and the items unless they are left out."""
        kind, count = self._scalar("I"), self._scalar("Q")
        if count > self._end - self._at:
            raise ValueError(f"an array of {count} items runs past the end")
        keep = keep and count <= _MAX_KEPT_ARRAY
        if kind == _ARRAY:
            return count, self._arrays(count, keep, depth)
        if kind == _STRING:
            self._skip_strings(count)
            return count, None
        if kind not in _SCALARS:
            raise ValueError(f"arrays of type {kind} are not known")
        code = _SCALARS[kind]
        start, self._at = self._at, self._at + count * self._scalars[code].size
        if self._at > self._end:
            raise ValueError("an array runs past the end")
        if not keep:
            return count, None
        self._items += count
        if self._items > _MAX_KEPT_ITEMS:
            raise ValueError("it holds more lists than any real one")
        return count, struct.unpack_from(f"{self._order}{count}{code}", self._view, start)

    def _arrays(self, count: int, keep: bool, depth: int) -> tuple[Any, ...] | None:
        self._nested_arrays += count
        if depth == _MAX_NESTING or self._nested_arrays > _MAX_NESTED:
            raise ValueError("it nests arrays deeper, or more of them, than any real one")
        found = []
        for _ in range(count):
            _, items = self._items_of_array(keep, depth + 1)
            keep = keep and items is not None
            if items is not None:
                found.append(items)
        return tuple(found) if keep else None

    def _skip_strings(self, count: int) -> None:
        # The one hot loop: a vocabulary has hundreds of thousands.
        view, at, end = self._view, self._at, self._end
        unpack = self._scalars["Q"].unpack_from
        for _ in range(count):
            at += 8 + unpack(view, at)[0]
            if at > end:
                raise ValueError("a text runs past the end")
        self._at = at

    def _tensor(self) -> TensorInfo:
        name = self._string(_MAX_NAME)
        dimensions = self._scalar("I")
        if dimensions > _MAX_DIMENSIONS:
            raise ValueError(f"the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._scalar("Q") for _ in range(dimensions))
        if prod(shape) > _MAX_ELEMENTS:
            raise ValueError(f"the tensor {name!r} has the shape {shape}")
        kind, offset = self._scalar("I"), self._scalar("Q")
        return TensorInfo(name, shape, kind, offset, tensor_bytes(kind, shape))
