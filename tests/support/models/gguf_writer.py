"""GGUF headers by hand, byte by byte, of either byte order."""

from __future__ import annotations

import struct
from collections.abc import Sequence

# Value types of the format: ggml docs/gguf.md.
CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


class Writer:
    """Writes headers of either byte order by hand."""

    def __init__(self, order: str = "<") -> None:
        self.order = order

    def scalar(self, code: str, value: object) -> bytes:
        return struct.pack(self.order + code, value)

    def string(self, text: str) -> bytes:
        data = text.encode()
        return self.scalar("Q", len(data)) + data

    def value(self, kind: int, value: object) -> bytes:
        if kind == STRING:
            return self.string(str(value))
        return self.scalar(CODES[kind], value)

    def pair(self, key: str, kind: int, value: object) -> bytes:
        return self.string(key) + self.scalar("I", kind) + self.value(kind, value)

    def array(
        self, key: str, kind: int, values: Sequence[object], count: int | None = None
    ) -> bytes:
        head = self.scalar("I", ARRAY) + self.scalar("I", kind)
        count = len(values) if count is None else count
        items = b"".join(self.value(kind, value) for value in values)
        return self.string(key) + head + self.scalar("Q", count) + items

    def nested(self, key: str, kind: int, arrays: Sequence[Sequence[object]]) -> bytes:
        """An array of arrays."""
        head = self.scalar("I", ARRAY) + self.scalar("I", ARRAY)
        items = b"".join(self.array("", kind, values)[12:] for values in arrays)
        return self.string(key) + head + self.scalar("Q", len(arrays)) + items

    def file(self, *pairs: bytes, version: int = 3, count: int | None = None) -> bytes:
        head = b"GGUF" + self.scalar("I", version) + self.scalar("Q", 0)
        return head + self.scalar("Q", len(pairs) if count is None else count) + b"".join(pairs)

    def model(self, version: int = 3) -> bytes:
        """A header with every kind of value."""
        return self.file(
            self.pair("general.architecture", STRING, "llama"),
            self.array("tokenizer.ggml.tokens", STRING, ["a", "é", ""]),
            self.pair("general.name", STRING, "Zürich"),
            self.array("tokenizer.ggml.scores", 6, [0.5, -1.0]),
            self.pair("llama.context_length", 4, 8192),
            self.pair("big", 10, 1 << 63),
            self.pair("small", 1, -3),
            self.pair("half", 12, 0.5),
            self.pair("yes", 7, True),
            self.pair("tokenizer.chat_template", STRING, "{{ messages }}"),
            version=version,
        )


LITTLE, BIG = Writer("<"), Writer(">")
