"""Regular expressions of a schema in the form that engines enforce. Pure.

    pattern ─▶ syntax: a tree ─▶ anchors made explicit ─▶ text: written anew

llama.cpp's grammar takes a pattern only between ``^`` and ``$``, does not know ``\\d``, ``\\w``
and ``\\s``, and lets ``.`` and ``[^x]`` stand for characters that end a JSON string
(``_visit_pattern`` in ``common/json-schema-to-grammar.cpp``). A rewritten pattern uses only what
means the same to it, to LLGuidance and to Python: literals, classes, groups, ``|`` and
repetitions, between ``^`` and ``$``. A JSON string has quotes, backslashes and control characters
only as escapes, which no such pattern can say, so it never matches them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rocm_core.schema.limits import REPEATS
from rocm_core.schema.patterns.syntax import (
    LAST,
    Alternatives,
    Anchor,
    Chars,
    Node,
    Repeat,
    Sequence,
    Unsupported,
    chars,
    parse,
)
from rocm_core.schema.patterns.text import in_sequence

_ANYTHING: Final = Repeat(chars(((0, LAST),)), 0, None)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A pattern for the engine.

    Attributes:
        pattern: the text; ``None``: no engine can be given it.
        reason: why not, or why ``pattern`` matches less than what was given; empty: it matches
            the same strings.
        lengths: whether the lengths that were given are part of ``pattern``.
    """

    pattern: str | None
    reason: str = ""
    lengths: bool = False


def rewrite(pattern: str, lengths: tuple[int, int | None] = (0, None)) -> Rewritten:
    """Rewrite a pattern, whose search may begin anywhere, as one of the whole string.

    Args:
        pattern: a regular expression of ECMA-262, or of Python or Rust where they agree with it.
        lengths: the shortest and the longest string; ``None`` for any length. They become part of
            a pattern that repeats one character class.
    """
    try:
        tree, merged = _with_lengths(_anchored(parse(pattern)), lengths)
        if _repeats(tree) > REPEATS:
            return Rewritten(None, f"it repeats something more than {REPEATS} times")
        text = _settled(in_sequence(tree))
    except Unsupported as error:
        return Rewritten(None, str(error))
    except RecursionError:
        return Rewritten(None, "it is nested too deeply")
    lost = "quotes, backslashes and control characters are not written"
    return Rewritten(f"^{text}$", lost if _lost(tree) else "", merged)


def _settled(text: str) -> str:
    """Return the text as rewriting it again leaves it: alternatives may have become one."""
    for _ in range(8):
        again = in_sequence(_anchored(parse(f"^{text}$")))
        if again == text:
            break
        text = again
    return text


def _anchored(tree: Node) -> Node:
    """Return the tree without anchors: where one is missing, anything may stand."""
    if isinstance(tree, Alternatives):
        return Alternatives(tuple(_anchored(item) for item in tree.items))
    items = list(tree.items) if isinstance(tree, Sequence) else [tree]
    if len(items) == 1 and isinstance(items[0], Alternatives):
        return _anchored(items[0])
    if not items or not isinstance(items[0], Anchor) or items[0].sign != "^":
        if items[:1] != [_ANYTHING]:
            items.insert(0, _ANYTHING)
    else:
        del items[0]
    if items and isinstance(items[-1], Anchor) and items[-1].sign == "$":
        del items[-1]
    elif items[-1:] != [_ANYTHING]:
        items.append(_ANYTHING)
    return items[0] if len(items) == 1 else Sequence(tuple(items))


def _with_lengths(tree: Node, lengths: tuple[int, int | None]) -> tuple[Node, bool]:
    """Return the tree with the lengths in it if it repeats one set of characters."""
    low, high = lengths
    if (low, high) == (0, None):
        return tree, True
    if not isinstance(tree, Repeat) or not isinstance(tree.item, Chars):
        return tree, False
    low = max(low, tree.low)
    if tree.high is not None:
        high = tree.high if high is None else min(high, tree.high)
    if low > REPEATS or (high is not None and not low <= high <= REPEATS):
        return tree, False
    return Repeat(tree.item, low, high), True


def _lost(tree: Node) -> bool:
    if isinstance(tree, Chars):
        return tree.lost
    if isinstance(tree, Repeat):
        return _lost(tree.item)
    return not isinstance(tree, Anchor) and any(_lost(item) for item in tree.items)


def _repeats(tree: Node) -> int:
    """Return the largest product of repetitions inside each other."""
    if isinstance(tree, Repeat):
        times = tree.low if tree.high is None else tree.high
        return max(times, 1) * _repeats(tree.item)
    if isinstance(tree, Chars | Anchor):
        return 1
    return max((_repeats(item) for item in tree.items), default=1)
