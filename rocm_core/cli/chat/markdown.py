"""Markdown as it arrives: what is written once is never written again, so nothing flickers.

    MarkdownStream.feed(piece) → spans of text and style, in order; ``end()`` → the rest

An inline mark (``**``, a backtick) is held back until it closes, at most ``_HELD`` characters or to
the end of its line; then it has a style, or is text like any other. Words are held back until they
are whole, so that lines break between them. Links stay as they were written, with their address in
sight. Pure; which escape sequence a style becomes is up to ``cli/screen.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len

Span = tuple[str, str]

_HELD = 240
_CODE, _QUOTE, _MARK, _HEADING = "cyan", "italic", "dim", "bold"
_INLINE = {"**": "bold", "__": "bold", "*": "italic", "_": "italic", "~~": "strike", "`": _CODE}
_OPENING = re.compile(r"`+|\*{1,3}|_{1,3}|~{1,2}|\\")
# What a line may begin with, and every beginning of that.
_UNDECIDED = re.compile(r" {0,12}(?:#{0,6}|[-*+]|\d{1,9}[.)]?|`{1,2}|~{1,2}|>|[-*_]{2})?")
_RULE = re.compile(r" {0,3}(?:-{3,}|\*{3,}|_{3,}) *")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)")
_FENCE_BEGUN = re.compile(r" {0,3}(?:`*|~*) *")
_BLOCK = re.compile(
    r"(?P<indent> {0,12})(?:(?P<heading>#{1,6}) |(?P<bullet>[-*+]) |(?P<number>\d{1,9}[.)]) |"
    r"(?P<quote>>) ?)"
)
_ESCAPABLE = set("\\`*_{}[]()#+-.!|~<>\"'")


class MarkdownStream:
    """Turns pieces of Markdown into styled spans.

    Args:
        width: columns of the terminal; 0: lines are never broken here.
    """

    def __init__(self, width: int = 0) -> None:
        self._pending = ""
        self._at_start = True
        self._fence = ""
        self._style = ""
        self._before = " "  # the character before what is pending
        self._wrap = _Wrap(width)

    def feed(self, piece: str) -> list[Span]:
        """Return what can be written after another piece of the text."""
        self._pending += piece
        return self._wrap.words(self._spans(last=False))

    def end(self) -> list[Span]:
        """Return what was held back; the text is complete."""
        spans = self._wrap.words(self._spans(last=True))
        return spans + self._wrap.rest()

    def _spans(self, last: bool) -> Iterator[Span]:
        while self._pending:
            before = self._pending, self._at_start
            if self._at_start:
                yield from self._line_start(last)
            elif self._fence:
                yield from self._code()
            else:
                yield from self._inline(last)
            if (self._pending, self._at_start) == before:
                return

    # -- the beginning of a line ------------------------------------------------------------

    def _line_start(self, last: bool) -> Iterator[Span]:
        line, ended, rest = self._pending.partition("\n")
        whole = bool(ended) or last
        held = not whole and len(line) < _HELD
        fence = _FENCE.fullmatch(line)
        if self._fence:
            if held and _FENCE_BEGUN.fullmatch(line):
                return
            closes = whole and fence and fence[1].startswith(self._fence) and not fence[2].strip()
            self._at_start = bool(closes)
            if closes:
                self._fence = ""
        elif held and (fence or _UNDECIDED.fullmatch(line) or _RULE.fullmatch(line)):
            return
        elif whole and fence:
            self._fence = fence[1]
        elif whole and _RULE.fullmatch(line):
            line = "─" * min(self._wrap.width or 40, 40)
        else:
            yield from self._block(line)
        self._wrap.off = bool(self._fence)
        if self._at_start:
            self._pending = rest
            yield (line, _MARK)
            yield (ended, "")

    def _block(self, line: str) -> Iterator[Span]:
        self._at_start, self._before, self._style, self._wrap.indent = False, " ", "", 0
        found = _BLOCK.match(line)
        if not found:
            return
        self._pending = self._pending[found.end() :]
        if indent := found["indent"]:
            yield (indent, "")
        if found["heading"]:
            self._style = _HEADING if len(found["heading"]) > 1 else f"{_HEADING} underline"
            return
        self._wrap.indent = found.end()
        if found["quote"]:
            self._style = _QUOTE
            yield ("│ ", _MARK)
            self._wrap.indent = len(indent) + 2
        else:
            yield ("• " if found["bullet"] else f"{found['number']} ", "bold")

    def _code(self) -> Iterator[Span]:
        line, ended, self._pending = self._pending.partition("\n")
        yield (line, _CODE)
        yield (ended, "")
        self._at_start = bool(ended)

    # -- inside a line ----------------------------------------------------------------------

    def _inline(self, last: bool) -> Iterator[Span]:
        line, ended, rest = self._pending.partition("\n")
        done, spans = _styled(line, self._style, self._before, whole=bool(ended) or last)
        yield from spans
        if done:
            self._before = line[done - 1]
        self._pending = line[done:] + ended + rest
        if ended and done == len(line):
            self._pending, self._at_start = rest, True
            yield ("\n", "")


def _styled(text: str, style: str, before: str, *, whole: bool) -> tuple[int, list[Span]]:
    """Return how much of a line's text is decided, and its spans."""
    at, spans = 0, []
    while at < len(text):
        found = _OPENING.search(text, at)
        start = found.start() if found else len(text)
        if start > at:
            spans.append((text[at:start], style))
            before = text[start - 1]
        if not found:
            return len(text), spans
        step = _mark(text, found, style, before)
        if step and step[0] == len(text) and not whole:
            step = None  # the next character may belong to the mark
        if step is None and not whole and len(text) - start < _HELD:
            return start, spans
        at, more = step or (found.end(), [(found[0], style)])
        spans += more
        before = text[at - 1]
    return at, spans


def _mark(
    text: str, found: re.Match[str], style: str, before: str
) -> tuple[int, list[Span]] | None:
    """Return where a mark's span ends, and its spans; ``None``: it has no end so far."""
    mark, start, end = found[0], found.start(), found.end()
    if end == len(text):
        return None
    if mark == "\\":
        literal = text[end] if text[end] in _ESCAPABLE else "\\" + text[end]
        return end + 1, [(literal, style)]
    if mark.startswith("`"):
        close = re.search(rf"(?<!`){mark}(?!`)", text[end:])
        if close is None:
            return None
        inside = text[end : end + close.start()].strip(" ")
        return end + close.end(), [(inside, _joined(style, _CODE))]
    if mark == "~" or text[end].isspace() or (mark.startswith("_") and before.isalnum()):
        return end, [(mark, style)]
    return _emphasis(text, mark, start, style)


def _emphasis(text: str, mark: str, start: int, style: str) -> tuple[int, list[Span]] | None:
    end = start + len(mark)
    sign = re.escape(mark[0])
    after = r"(?!\w)" if mark[0] == "_" else ""
    closing = rf"(?<![\s{sign}]){re.escape(mark)}(?!{sign}){after}"
    close = re.search(closing, text[end:])
    if close is None:
        return None
    inside = text[end : end + close.start()]
    kinds = ("bold italic",) if len(mark) == 3 else (_INLINE[mark],)
    _, spans = _styled(inside, _joined(style, *kinds), mark[0], whole=True)
    return end + close.end(), spans


def _joined(*styles: str) -> str:
    return " ".join(style for style in styles if style)


class _Wrap:
    """Breaks lines between words; ``indent`` is that of the lines that follow.

    Attributes:
        width: columns; 0 breaks nothing.
        off: whether lines stay as they are (code).
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.indent = 0
        self.off = False
        self._column = 0
        self._word: list[Span] = []
        self._long = False  # the word is longer than a line: it is written as it comes

    def words(self, spans: Iterator[Span]) -> list[Span]:
        """Return the words that are whole, with line breaks where the next one would not fit."""
        out: list[Span] = []
        for text, style in spans:
            for piece in re.findall(r"\n|[^\S\n]+|\S+", text):
                if piece == "\n":
                    out += [*self.rest(), ("\n", "")]
                    self._column = 0
                elif piece.isspace() or self.off or not self.width:
                    out += self.rest() + self._as_it_is(piece, style)
                elif self._long:
                    out += self._as_it_is(piece, style)
                else:
                    self._word.append((piece, style))
                    if self._cells() > self.width:
                        out += self.rest()
                        self._long = True
        return out

    def rest(self) -> list[Span]:
        """Return the word that is held back, on the next line if it does not fit."""
        word, cells = self._word, self._cells()
        self._word, self._long = [], False
        if self.indent < self._column and self._column + cells > self.width >= cells > 0:
            word = [("\n" + " " * self.indent, ""), *word]
            self._column = self.indent
        self._advance(cells)
        return word

    def _cells(self) -> int:
        return cell_len("".join(text for text, _ in self._word))

    def _as_it_is(self, piece: str, style: str) -> list[Span]:
        if piece.isspace() and not self.off and self._column >= self.width > 0:
            return []  # it would begin the next line
        self._advance(cell_len(piece))
        return [(piece, style)]

    def _advance(self, cells: int) -> None:
        self._column += cells
        if self._column > self.width > 0:  # the terminal has broken the line
            self._column = (self._column - 1) % self.width + 1
