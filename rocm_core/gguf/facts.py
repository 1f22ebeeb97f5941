"""Turn the keys and tensors of a header into facts: of one file, or of all parts of a model.

Keys: ggml ``docs/gguf.md`` and llama.cpp ``gguf-py/gguf/constants.py``.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rocm_core.errors import InvalidGGUF, ModelNotFound
from rocm_core.gguf.quantization import FILE_TYPES
from rocm_core.gguf.reader import MAGIC, Header, TensorInfo, parse_header

PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_TOKEN_ID = re.compile(r"^tokenizer\.ggml\.(\w+?)_token_id$")
# Several times any real model's: a damaged count must not fill the memory.
_MAX_LAYERS = 1 << 12
# enum llama_pooling_type (llama.cpp include/llama.h).
_POOLINGS = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}


@dataclass(frozen=True, slots=True)
class GGUFInfo:
    """Facts of a model file, or of all parts of one; ``None`` where the header does not say.

    Where the layers differ, ``heads``, ``kv_heads`` and ``feed_forward_length`` are the largest
    layer's; ``per_layer`` returns every layer's number.

    Attributes:
        version: of the GGUF format.
        context_length: tokens that the model was trained for.
        metadata: every key with a scalar or string value, and numeric arrays of up to 1,024
            items as tuples (of tuples, if they are nested). Left out: longer arrays, arrays of
            strings, the tokenizer's arrays.
        tensors: the tensor list.
        quantization: llama.cpp's name of the file type, such as ``Q4_K_M``.
        parameters: number of weights.
        layers: blocks, without the output layer that llama-server counts in ``-ngl``.
        heads, kv_heads: attention heads of a layer, for queries and for keys and values.
        key_length, value_length: elements of one head's key and value.
        embedding_length, feed_forward_length: elements of a token's vector, outside and inside
            the feed-forward part.
        sliding_window: tokens that a layer with a sliding window sees.
        experts, experts_used: experts of a layer, and how many of them each token uses.
        pooling: ``none``, ``mean``, ``cls``, ``last`` or ``rank``.
        decision_type: of a model that answers typed questions (``POST /v1/systemone``):
            ``openjev``, ``lev``, …
        vocabulary: number of tokens.
        special_tokens: token ids by name (``bos``, ``eos``, ``eot``, …).
        part, parts: number of this file, from 1, in a model that is split into ``parts`` files.
        kind: ``model``, ``adapter``, ``projector`` (mmproj) or another ``general.type``.
        file_size, weights_size: bytes of the file, and of the tensor data in it.
        ordinary_end: whether the vocabulary has ``</s>`` as an ordinary token.
        missing: bytes that the file is too short, as after an interrupted download; else 0.
    """

    path: Path
    version: int
    architecture: str | None
    name: str | None
    context_length: int | None
    chat_template: str | None = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    tensors: tuple[TensorInfo, ...] = field(repr=False)
    big_endian: bool
    kind: str
    size_label: str | None
    quantization: str | None
    parameters: int
    layers: int | None
    heads: int | None
    kv_heads: int | None
    key_length: int | None
    value_length: int | None
    embedding_length: int | None
    feed_forward_length: int | None
    sliding_window: int | None
    experts: int | None
    experts_used: int | None
    pooling: str | None
    vocabulary: int | None
    special_tokens: Mapping[str, int]
    part: int
    parts: int
    file_size: int
    weights_size: int
    missing: int
    ordinary_end: bool = False
    decision_type: str | None = None

    def of_architecture(self, key: str) -> Any:
        """Return the value of ``<architecture>.<key>``; ``None`` if the header lacks it."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def per_layer(self, key: str, default: int) -> tuple[int, ...]:
        """Return the number ``<architecture>.<key>`` for each layer.

        A single number in the header counts for every layer. ``default`` stands in for a missing
        key, for layers that a list leaves out, and for values that are no integers.
        """
        value = self.of_architecture(key)
        layers = min(self.layers or 0, _MAX_LAYERS)
        if isinstance(value, tuple):
            numbers = [int(v) if isinstance(v, int) else default for v in value[:layers]]
            return tuple(numbers + [default] * (layers - len(numbers)))
        return ((value if type(value) is int else default),) * layers


def check_gguf(path: str | os.PathLike[str]) -> None:
    """Raise unless ``path`` is a readable file that begins with GGUF's magic; reads 4 bytes.

    Raises:
        ModelNotFound: the file does not exist or cannot be read.
        InvalidGGUF: it begins with something else.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ModelNotFound(f"cannot read the model {os.fspath(path)}: {error.strerror}") from error
    if head not in (MAGIC, MAGIC[::-1]):
        raise InvalidGGUF(
            f"{os.fspath(path)} is not a GGUF file (it begins with {head!r}). Give a .gguf file; "
            "convert other formats with llama.cpp's convert_hf_to_gguf.py."
        )


def read_gguf(path: str | os.PathLike[str]) -> GGUFInfo:
    """Read the header of one file.

    Raises:
        ModelNotFound: the file does not exist or cannot be read.
        InvalidGGUF: it is no GGUF file, or its header is damaged, cut short, or of an unknown
            version.
    """
    check_gguf(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                header = parse_header(view)
        except (struct.error, ValueError) as error:
            raise InvalidGGUF(
                f"{os.fspath(path)} has a damaged header: {error}. Download or convert it again."
            ) from error
    return info_of(Path(path), header, size)


def part_paths(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the files of the model that ``path`` belongs to, in order.

    Goes by llama.cpp's names for parts, ``<name>-00001-of-00003.gguf``, and does not check
    whether the files exist. A file with any other name is the whole model.
    """
    path = Path(path)
    part = PART.search(path.name)
    if part is None:
        return (path,)
    stem, count = path.name[: part.start()], int(part[2])
    suffix = path.name[-5:]
    return tuple(
        path.with_name(f"{stem}-{number:05}-of-{count:05}{suffix}")
        for number in range(1, count + 1)
    )


def read_model(path: str | os.PathLike[str]) -> GGUFInfo:
    """Read the headers of all parts of a model as one.

    Sizes and parameters are sums, the tensors those of all parts; every other fact is the first
    part's.

    Args:
        path: any part, or the only file.

    Raises:
        ModelNotFound: a part does not exist or cannot be read.
        InvalidGGUF: a part is no GGUF file, or its header is damaged.
    """
    first, *others = (read_gguf(part) for part in part_paths(path))
    return replace(
        first,
        tensors=sum((part.tensors for part in others), first.tensors),
        **{
            name: sum(getattr(part, name) for part in (first, *others))
            for name in ("parameters", "file_size", "weights_size", "missing")
        },
    )


def info_of(path: Path, header: Header, file_size: int) -> GGUFInfo:
    """Return the facts in the ``header`` of a file of ``file_size`` bytes."""
    keys = header.metadata
    architecture = _text(keys, "general.architecture")
    numbers = {name: _number(keys, f"{architecture}.{key}") for name, key in _NUMBERS.items()}
    heads, width = numbers["heads"], numbers["embedding_length"]
    per_head = width // heads if heads and width else None
    weights = sum(tensor.nbytes or 0 for tensor in header.tensors)
    end = max((t.offset + (t.nbytes or 0) for t in header.tensors), default=None)
    return GGUFInfo(
        path=path,
        version=header.version,
        architecture=architecture,
        name=_text(keys, "general.name"),
        chat_template=_text(keys, "tokenizer.chat_template"),
        metadata=keys,
        tensors=header.tensors,
        big_endian=header.big_endian,
        kind=_kind(keys, architecture),
        size_label=_text(keys, "general.size_label"),
        quantization=_file_type(keys),
        parameters=sum(tensor.elements for tensor in header.tensors),
        **{
            **numbers,
            "kv_heads": numbers["kv_heads"] or heads,
            "key_length": numbers["key_length"] or per_head,
            "value_length": numbers["value_length"] or per_head,
        },
        pooling=_POOLINGS.get(_number(keys, f"{architecture}.pooling_type")),
        vocabulary=header.lengths.get("tokenizer.ggml.tokens")
        or _number(keys, f"{architecture}.vocab_size"),
        special_tokens={
            found[1]: value
            for key, value in keys.items()
            if (found := _TOKEN_ID.match(key)) and type(value) is int
        },
        part=(_number(keys, "split.no") or 0) + 1,
        parts=_number(keys, "split.count") or 1,
        file_size=file_size,
        weights_size=weights,
        missing=0 if end is None else max(header.data_start + end - file_size, 0),
        ordinary_end=header.ordinary_end,
        decision_type=_text(keys, f"{architecture}.decision.type"),
    )


_NUMBERS = {
    "context_length": "context_length",
    "layers": "block_count",
    "heads": "attention.head_count",
    "kv_heads": "attention.head_count_kv",
    "key_length": "attention.key_length",
    "value_length": "attention.value_length",
    "embedding_length": "embedding_length",
    "feed_forward_length": "feed_forward_length",
    "sliding_window": "attention.sliding_window",
    "experts": "expert_count",
    "experts_used": "expert_used_count",
}


def _text(keys: Mapping[str, Any], key: str) -> str | None:
    value = keys.get(key)
    return value if isinstance(value, str) else None


def _number(keys: Mapping[str, Any], key: str) -> Any:
    value = keys.get(key)
    if isinstance(value, tuple):
        value = max((v for v in value if type(v) is int), default=None)
    return value if type(value) is int and value >= 0 else None


def _file_type(keys: Mapping[str, Any]) -> str | None:
    number = keys.get("general.file_type")
    if type(number) is not int:
        return None
    return FILE_TYPES.get(number, f"type {number}")


def _kind(keys: Mapping[str, Any], architecture: str | None) -> str:
    # Projectors made before general.type existed have this architecture (tools/mtmd/clip.cpp).
    if architecture == "clip":
        return "projector"
    kind = _text(keys, "general.type") or "model"
    return {"mmproj": "projector"}.get(kind, kind)
