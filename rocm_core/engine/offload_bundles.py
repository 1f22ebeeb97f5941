"""Read from a HIP library which GPUs it has code for.

HIP puts an offload bundle per source file into the section ``.hip_fatbin``; its header lists the
targets (LLVM docs, ``ClangOffloadBundler``). Newer compilers compress the bundles.
"""

from __future__ import annotations

import importlib
import mmap
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

_BUNDLE = b"__CLANG_OFFLOAD_BUNDLE__"
_COMPRESSED = b"CCOB"
_TARGET = re.compile(rb"amdgcn-amd-amdhsa-[a-z0-9]*-(gfx[0-9a-f]+(?:-\d+)*(?:-generic)?)")
# Bytes; the header of a bundle with every target that exists is shorter.
_HEAD = 16384
# All source files of a build are compiled for the same targets, so a few bundles are enough.
_BUNDLES = 8
_MAX_SECONDS = 3.0
_ZLIB, _ZSTD = 0, 1
# Bytes from the magic number to the data, by version of the compressed bundle.
_HEADER_SIZES = {1: 20, 2: 24, 3: 32}


def gfx_targets(library: Path) -> frozenset[str] | None:
    """Return the targets (``gfx1100``, …) that a library has code for; ``None`` if unknown.

    Reads the file through a memory map and stops after the first bundles, or after 3 s.
    """
    found: set[str] = set()
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
            for head in _heads(m):
                found.update(name.decode() for name in _TARGET.findall(head))
    except (OSError, ValueError):  # gone, unreadable, or empty (which cannot be mapped)
        return None
    return frozenset(found) or None


def rocblas_targets(directory: Path) -> frozenset[str] | None:
    """Return the targets of the rocBLAS beside a build; ``None`` if there is none beside it.

    Args:
        directory: where the build's program is.
    """
    names: set[str] = set()
    for folder in ("rocblas/library", "lib/rocblas/library", "../lib/rocblas/library"):
        for path in (directory / folder).glob("TensileLibrary*_gfx*.dat"):
            if found := re.search(r"_(gfx[0-9a-f]+)\.dat$", path.name):
                names.add(found[1])
    return frozenset(names) or None


def _heads(data: mmap.mmap) -> Iterator[bytes]:
    """Yield the first bytes of each of the first bundles, decompressed."""
    deadline = time.monotonic() + _MAX_SECONDS
    for magic in (_BUNDLE, _COMPRESSED):
        position, seen = data.find(magic), 0
        while position >= 0 and seen < _BUNDLES and time.monotonic() < deadline:
            if magic == _BUNDLE:
                yield data[position : position + _HEAD]
                seen += 1
            elif head := _unpacked(data, position):
                yield head
                seen += 1
            position = data.find(magic, position + len(magic))


def _unpacked(data: mmap.mmap, position: int) -> bytes:
    header = data[position : position + max(_HEADER_SIZES.values())]
    if len(header) < max(_HEADER_SIZES.values()):
        return b""
    version, method = struct.unpack_from("<HH", header, len(_COMPRESSED))
    size = _HEADER_SIZES.get(version)
    if size is None or method not in (_ZLIB, _ZSTD):
        return b""  # not a bundle: the four letters are there by chance
    packed = data[position + size : position + size + 4 * _HEAD]
    head = _inflate(packed) if method == _ZLIB else _zstd(packed)
    return head if head.startswith(_BUNDLE) else b""


def _inflate(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _HEAD)
    except zlib.error:
        return b""


def _zstd(packed: bytes) -> bytes:
    # In the standard library since Python 3.14; with older ones these targets stay unknown.
    try:
        zstd = importlib.import_module("compression.zstd")
    except ImportError:
        return b""
    try:
        return bytes(zstd.ZstdDecompressor().decompress(packed, _HEAD))
    except zstd.ZstdError:
        return b""
