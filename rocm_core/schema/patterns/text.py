"""Write a tree of ``syntax`` as text that every engine reads alike. Pure.

llama.cpp's grammar reads a pattern byte by byte, and a repetition behind a literal repeats its
last byte (``_visit_pattern`` in ``common/json-schema-to-grammar.cpp``): what is repeated stands in
a class or a group. In a class it knows ``\\x``, ``\\u``, ``\\U`` and no ``\\-``, while LLGuidance
gives ``[``, ``&`` and ``~`` a meaning: all but letters and digits are written as codes there. It
refuses to repeat what may be empty.
"""

from __future__ import annotations

from rocm_core.schema.patterns.syntax import (
    Alternatives,
    Anchor,
    Chars,
    Node,
    Repeat,
    Sequence,
    Unsupported,
    complement,
)

_ESCAPED = frozenset("^$.[](){}|*+?")
_PLAIN = frozenset(" !#%&',-/:;<=>@_`~")


def written(tree: Node) -> str:
    """Return the text of a tree without anchors.

    Raises:
        Unsupported: it has an anchor, or repeats without end what may be empty.
    """
    if isinstance(tree, Chars):
        return _literal(tree) or _class(tree)
    if isinstance(tree, Sequence):
        return "".join(in_sequence(item) for item in tree.items)
    if isinstance(tree, Alternatives):
        return _alternatives(tree)
    if isinstance(tree, Repeat):
        return _repeated(tree)
    raise Unsupported("it has an anchor that is not at its beginning or end")


def may_be_empty(tree: Node) -> bool:
    """Return whether the empty string matches."""
    if isinstance(tree, Repeat):
        return tree.low == 0 or may_be_empty(tree.item)
    if isinstance(tree, Sequence):
        return all(may_be_empty(item) for item in tree.items)
    if isinstance(tree, Alternatives):
        return any(may_be_empty(item) for item in tree.items)
    return isinstance(tree, Anchor)


def in_sequence(item: Node) -> str:
    """Return the text of a tree as something may stand beside it; raises as ``written``."""
    text = written(item)
    if not isinstance(item, Alternatives):
        return text
    texts = _texts(item)
    return f"({text})" if len(texts) > 1 and "" not in texts else text


def _alternatives(tree: Alternatives) -> str:
    texts = _texts(tree)
    joined = "|".join(text for text in texts if text)
    return f"({joined})?" if "" in texts and joined else joined


def _texts(tree: Alternatives) -> list[str]:
    """Return the different texts of alternatives."""
    return list(dict.fromkeys(written(item) for item in tree.items))


def _repeated(tree: Repeat) -> str:
    item, low, high = tree.item, tree.low, tree.high
    while high != 0 and isinstance(item, Repeat) and item.high is None and item.low <= 1:
        # (x*){2,3} is x*, and (x+){2,3} is xx+
        low, high = low * item.low, None
        item = item.item
    if may_be_empty(item):
        if (high is None or high > 1) and not isinstance(item, Chars):
            raise Unsupported("it repeats what may be empty")
        low = 0 if high else low
    if high == 0 or not (inner := written(item)):
        return ""
    if (low, high) == (1, 1):
        return in_sequence(item)
    text = _class(item) if isinstance(item, Chars) else f"({inner})"
    return text + _times(low, high, text)


def _times(low: int, high: int | None, text: str) -> str:
    if high is None:
        return "*" if low == 0 else "+" if low == 1 else f"{{{low}}}{text}*"
    if (low, high) == (0, 1):
        return "?"
    return f"{{{low}}}" if low == high else f"{{{low},{high}}}"


def _literal(item: Chars) -> str | None:
    """Return the character as a literal, if it is one that needs no class."""
    if len(item.ranges) != 1 or item.ranges[0][0] != item.ranges[0][1]:
        return None
    char = chr(item.ranges[0][0])
    if char in _ESCAPED:
        return f"\\{char}"
    plain = char in _PLAIN or (char.isascii() and char.isalnum()) or ord(char) >= 0xA0
    return char if plain else None


def _class(item: Chars) -> str:
    others = complement(item.ranges)
    if len(others) < len(item.ranges) or item.ranges[-1][1] > 0xFFFF:
        return f"[^{''.join(_range(*pair) for pair in others)}]"
    return f"[{''.join(_range(*pair) for pair in item.ranges)}]"


def _range(low: int, high: int) -> str:
    if low == high:
        return _code(low)
    return f"{_code(low)}{'-' if high > low + 1 else ''}{_code(high)}"


def _code(code: int) -> str:
    if code < 128 and (chr(code).isalnum() or chr(code) == "_"):
        return chr(code)
    return (
        f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}" if code < 65536 else f"\\U{code:08X}"
    )
