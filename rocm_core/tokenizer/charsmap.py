"""SentencePiece's table of replacements, as llama.cpp applies it.

Source: ``normalize_prefix`` and ``xcda_array_view`` in llama.cpp's ``src/llama-vocab.cpp``: a
double array, whose entries end at replacements. Pure.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from rocm_core.tokenizer.special import Unsupported


class Charsmap:
    """Replaces characters of a text; the longest sequence that the table has goes first."""

    def __init__(self, table: bytes, kept: Sequence[str]) -> None:
        """Take the bytes of ``precompiled_charsmap``, which may be none.

        Args:
            table: the bytes.
            kept: tokens no beginning of which is replaced.

        Raises:
            Unsupported: the table is none.
        """
        self._units = array("I")
        self._texts = b""
        if table:
            size = int.from_bytes(table[:4], "little")
            if size % 4 or size + 4 >= len(table) or self._units.itemsize != 4:
                raise Unsupported("the table of replacements is damaged")
            self._units.frombytes(table[4 : 4 + size])
            self._texts = table[4 + size :]
        self._kept = {text[:length] for text in kept for length in range(1, len(text) + 1)}
        # What comes of a character before another one, where no third one has a part in it.
        self._known: dict[str, tuple[str, int]] = {}

    def normalized(self, text: str) -> str:
        """Return the text with every replacement."""
        if not self._units:
            return text
        found, at, known, kept = [], 0, self._known, self._kept
        while at < len(text):
            if text[at] in kept:
                end = at + 1
                while end < len(text) and text[at : end + 1] in kept:
                    end += 1
                found.append(text[at:end])
                at = end
                continue
            result = known.get(text[at : at + 2]) or self._longest(text, at)
            found.append(result[0])
            at += result[1]
        return "".join(found)

    def _longest(self, text: str, at: int) -> tuple[str, int]:
        """Return what comes of the text at this place, and of how many characters."""
        units = self._units
        result = (text[at], 1)
        node = _base(units[0])
        reached = at
        while reached < len(text) and text[reached] != "\0":
            for byte in text[reached].encode():
                node ^= byte
                if node >= len(units) or units[node] & 0x800000FF != byte:
                    self._remember(text, at, reached, result)
                    return result
                leaf = units[node] >> 8 & 1
                node ^= _base(units[node])
                if leaf:
                    start = units[node] & 0x7FFFFFFF
                    end = self._texts.index(0, start)
                    result = (self._texts[start:end].decode(), reached - at + 1)
            reached += 1
        self._remember(text, at, reached, result)
        return result

    def _remember(self, text: str, at: int, reached: int, result: tuple[str, int]) -> None:
        if reached <= at + 1 and len(text) > at + 1:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[text[at : at + 2]] = result


def _base(unit: int) -> int:
    return unit >> 10 << ((unit & 0x200) >> 6)
