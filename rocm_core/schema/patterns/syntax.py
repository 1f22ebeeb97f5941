"""Parse regular expressions of ECMA-262 into a tree. Pure.

Groups of Python and Rust (``(?P<name>…)``), ``\\A`` and ``\\Z`` are understood too. Classes are
those of ECMA-262: ``\\d`` and ``\\w`` are ASCII.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LAST: Final = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]


class Unsupported(ValueError):
    """No engine can be given this pattern; the message says why."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set: sorted ranges of code points, ends included.

    ``lost``: whether the pattern allows further ones, which a JSON string has as escapes only.
    """

    ranges: Ranges
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Anchor:
    """The beginning (``^``) or the end (``$``) of the string."""

    sign: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Any one of several."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``item`` from ``low`` to ``high`` times; ``None``: without end."""

    item: Node
    low: int
    high: int | None


Node = Chars | Anchor | Sequence | Alternatives | Repeat


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the ranges sorted and joined."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """Return all other code points."""
    found: list[tuple[int, int]] = []
    begin = 0
    for low, high in ranges:
        if low > begin:
            found.append((begin, low - 1))
        begin = high + 1
    if begin <= LAST:
        found.append((begin, LAST))
    return tuple(found)


UNWRITABLE: Final = ((0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F))
"""Control characters, the quote and the backslash."""

DIGITS: Final = ((0x30, 0x39),)
WORD: Final = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Final = union(
    (ord(first), ord(last))
    for first, last in (
        ("\t", "\r"),
        (" ", " "),
        ("\xa0", "\xa0"),
        ("\u1680", "\u1680"),
        ("\u2000", "\u200a"),
        ("\u2028", "\u2029"),
        ("\u202f", "\u202f"),
        ("\u205f", "\u205f"),
        ("\u3000", "\u3000"),
        ("\ufeff", "\ufeff"),
    )
)
_CLASSES: Final = {
    "d": DIGITS,
    "w": WORD,
    "s": SPACE,
    "D": complement(DIGITS),
    "W": complement(WORD),
    "S": complement(SPACE),
}
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_LONG_ESCAPES: Final = {"x": 2, "u": 4, "U": 8}
_MARKS: Final = {"A": "^", "Z": "$", "z": "$"}


def chars(ranges: Ranges) -> Chars:
    """Return the set without what a JSON string cannot hold as it is.

    Raises:
        Unsupported: nothing is left.
    """
    wanted = union(ranges)
    left = complement(union([*complement(wanted), *UNWRITABLE]))
    if not left:
        raise Unsupported("it needs a quote, a backslash or a control character")
    return Chars(left, lost=left != wanted)


def parse(pattern: str) -> Node:
    """Parse a pattern.

    Raises:
        Unsupported: it has what cannot be rewritten, or is no regular expression.
    """
    reader = _Reader(pattern)
    tree = reader.alternatives()
    if reader.at < len(pattern):
        raise Unsupported(f"there is a ) too many at character {reader.at + 1}")
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def _next(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def _take(self, length: int = 1) -> str:
        taken = self._next(length)
        if len(taken) < length:
            raise Unsupported("it ends too early")
        self.at += length
        return taken

    def alternatives(self) -> Node:
        found = [self._sequence()]
        while self._next() == "|":
            self.at += 1
            found.append(self._sequence())
        return found[0] if len(found) == 1 else Alternatives(tuple(found))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._next() not in ("", "|", ")"):
            items.append(self._repeated(self._atom()))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _atom(self) -> Node:
        char = self._take()
        if char in "([":
            return self._group() if char == "(" else self._class()
        if char in "*+?":
            raise Unsupported(f"nothing is there to repeat before character {self.at}")
        if char == "\\" and self._next() in _MARKS:
            return Anchor(_MARKS[self._take()])
        if char in "^$":
            return Anchor(char)
        if char == ".":
            return chars(((0, LAST),))
        return chars(self._escape() if char == "\\" else ((ord(char), ord(char)),))

    def _group(self) -> Node:
        if self._next() == "?":
            self._group_kind()
        inner = self.alternatives()
        if self._next() != ")":
            raise Unsupported("a ) is missing")
        self.at += 1
        return inner

    def _group_kind(self) -> None:
        self.at += 1
        if self._next() == ":":
            self.at += 1
            return
        name = self._next(3)
        if name.startswith("P<") or (name.startswith("<") and name[1:2] not in ("=", "!")):
            end = self.text.find(">", self.at)
            if end > 0:
                self.at = end + 1
                return
        raise Unsupported(f"(?{self._next()}…) looks around or sets flags, which no grammar can")

    def _escape(self) -> Ranges:
        """Return the characters of an escape, behind its backslash."""
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return ((_CONTROLS[char], _CONTROLS[char]),)
        if char in _LONG_ESCAPES:
            code = self._code(char)
            return ((code, code),)
        if char == "c":
            code = ord(self._take()) % 32
            return ((code, code),)
        if char in "bB":
            raise Unsupported(f"\\{char} looks around, which no grammar can")
        if char.isascii() and char.isalnum():
            raise Unsupported(f"\\{char} is not understood or refers back, which no grammar can")
        return ((ord(char), ord(char)),)

    def _code(self, kind: str) -> int:
        if kind == "u" and self._next() == "{":
            end = self.text.find("}", self.at)
            digits, self.at = self.text[self.at + 1 : end], end + 1
        else:
            digits = self._take(_LONG_ESCAPES[kind])
        try:
            code = int(digits, 16)
        except ValueError:
            raise Unsupported(f"\\{kind}{digits} is no character") from None
        if 0xD800 <= code <= 0xDBFF and self._next(2) == "\\u":
            self.at += 2
            code = 0x10000 + ((code - 0xD800) << 10) + (self._code("u") - 0xDC00)
        elif kind != "u" and 0xD800 <= code <= 0xDFFF:
            code = LAST + 1
        if not 0 <= code <= LAST:
            raise Unsupported(f"\\{kind}{digits} is no character")
        return code

    def _class(self) -> Node:
        negated = self._next() == "^"
        self.at += negated
        if self._next() == "]":
            raise Unsupported("[] means different things in different languages")
        found: list[tuple[int, int]] = []
        while self._next() != "]":
            if self._next(2) in ("[:", "&&"):
                raise Unsupported(f"{self._next(2)} means different things in different languages")
            first = self._class_item()
            if self._next() == "-" and self._next(2)[1:] not in ("]", ""):
                self.at += 1
                last = self._class_item()
                if len(first) > 1 or len(last) > 1 or first[0][0] > last[0][0]:
                    raise Unsupported("a range of characters ends before it begins")
                first = ((first[0][0], last[0][0]),)
            found.extend(first)
        self.at += 1
        ranges = union(found)
        return chars(complement(ranges) if negated else ranges)

    def _class_item(self) -> Ranges:
        char = self._take()
        if char != "\\":
            return ((ord(char), ord(char)),)
        if self._next() == "b":
            self.at += 1
            return ((8, 8),)
        return self._escape()

    def _repeated(self, item: Node) -> Node:
        times = self._times()
        if times is None:
            return item
        if isinstance(item, Anchor):
            raise Unsupported("it repeats an anchor")
        low, high = times
        if high is not None and high < low:
            raise Unsupported("a repetition ends before it begins")
        if self._next() == "?":  # as few as possible: the same strings
            self.at += 1
        if self._times() is not None:
            raise Unsupported("two repetitions follow each other")
        return Repeat(item, low, high)

    def _times(self) -> tuple[int, int | None] | None:
        char = self._next()
        if char in ("*", "+", "?") and char:
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        if char != "{":
            return None
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : max(end, self.at + 1)].partition(",")
        if not low.isdecimal() or not (high.isdecimal() or not high) or len(low + high) > 12:
            return None  # a literal brace
        self.at = end + 1
        return int(low), (int(high) if high else None) if comma else int(low)
