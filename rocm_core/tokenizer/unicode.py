"""Unicode as llama.cpp knows it: categories, white space, lowercase, decompositions.

``unicode.txt`` is llama.cpp's own table, which is not that of Python (``scripts/unicode_table.py``
writes it). Read when a tokenizer is built.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from pathlib import Path

# Flags of llama.cpp's src/unicode.h, ``unicode_cpt_flags``.
NUMBER, LETTER, MARK, PUNCTUATION, SYMBOL, CONTROL = 0x02, 0x04, 0x10, 0x20, 0x40, 0x80
_FILE = Path(__file__).with_name("unicode.txt")


class Unicode:
    """llama.cpp's table.

    Attributes:
        spaces: code points of white space.
        lowercase: code point → that of its lowercase.
    """

    def __init__(self) -> None:
        rows: dict[str, list[list[int]]] = {}
        for line in _FILE.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                rows[line[1:-1]] = current = []
            elif not line.startswith("#"):
                current += [[int(n, 16) for n in item.split("-")] for item in line.split()]
        self._starts = [start for start, _ in rows["categories"]]
        self._flags = [flags for _, flags in rows["categories"]]
        self.spaces = frozenset(space for [space] in rows["spaces"])
        self.lowercase: dict[int, int] = dict(rows["lowercase"])  # type: ignore[arg-type]
        self._ranges = rows["decompositions"]
        self._range_starts = [first for first, _, _ in self._ranges]

    def category(self, code_point: int) -> int:
        """Return the flag of a code point's category."""
        return self._flags[bisect_right(self._starts, code_point) - 1]

    def decomposed(self, code_point: int) -> int:
        """Return the first code point of the canonical decomposition: llama.cpp drops the rest.

        Source: ``unicode_cpts_normalize_nfd`` in llama.cpp's ``src/unicode.cpp``.
        """
        first, last, base = self._ranges[bisect_right(self._range_starts, code_point) - 1]
        return base if first <= code_point <= last else code_point


@cache
def unicode() -> Unicode:
    """Return the table; reads it once."""
    return Unicode()
