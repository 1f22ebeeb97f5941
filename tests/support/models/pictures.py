"""Pictures, and the smallest vision encoder that makes a model see them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

pytest.importorskip("gguf")

import gguf

from tests.support.models.vision import build


def png(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    """A picture of one color (PNG specification, color type 2, no filter)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(color) * width) * height)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def eyes_for(model: str | Path, path: Path) -> Path:
    """A vision encoder with random weights, as wide as ``model``, for ``mmproj=``."""
    reader = gguf.GGUFReader(model)
    field = reader.get_field("llama.embedding_length")
    assert field is not None
    build(path, field.contents())
    return path
