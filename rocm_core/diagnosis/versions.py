"""Versions that a log says of itself: llama.cpp's build, Ollama, LM Studio, ROCm. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Texts in lower case of which a line with a version has one.
VERSION_KEYS = (
    "build: ",
    "build = ",
    "build=",
    "build_info",
    "version: ",
    "version is ",
    "(version ",
    "llama-b",
    "/opt/rocm-",
    "lm studio ",
)
# A build that does not know its number says 0 or 1: three digits at least.
_PATTERNS = (
    (
        "llama.cpp",
        re.compile(
            r"\b(?:build(?:_info)?\s*[:=]\s*b?|version: )(?P<version>\d{3,5})"
            r"(?: \([\da-f]{6,}\)|-[\da-f]{6,}| commit=)|\bllama-b(?P<file>\d{3,5})\b"
        ),
    ),
    (
        "Ollama",
        re.compile(
            r"Listening on .*\(version (?P<version>\d[\d.]+)|ollama version is (?P<said>\d[\d.]+)"
        ),
    ),
    ("LM Studio", re.compile(r"LM Studio (?P<version>\d+\.\d+\.\d+)")),
    (
        "ROCm",
        re.compile(r"/opt/rocm-(?P<version>\d+\.\d+(?:\.\d+)?)|HIP version: (?P<hip>\d+\.\d+)"),
    ),
)


def versions_in(line: str) -> Iterator[tuple[str, str]]:
    """Yield program and version, for each that a line says: ``("llama.cpp", "b6795")``."""
    for program, pattern in _PATTERNS:
        if match := pattern.search(line):
            version = next(text for text in match.groups() if text)
            yield program, f"b{version}" if program == "llama.cpp" else version.rstrip(".")


def is_older(version: str, than: str) -> bool:
    """Whether a version is older: by its numbers, in order."""
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
