"""Random texts that are hard to tokenize: scripts, white space, parts of special tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence

_SPACES = (
    *(" ", "  ", "   ", "\n", "\r\n", "\t", "\n\n", " \t ", "   \n ", "\v", "\f", "\x85", "\xa0"),
    *("\u3000", "\u2028", "\u200b", "\x1c", "\x1f", "\ufeff", "\u1680"),
)
_TEXT = (
    "The quick brown fox's don't WE'LL I'm you've he'd they're 'Sure 's can'T o'clock Straße naïve"
)
_ENGLISH = _TEXT.split()
_OTHERS = (
    *("日本の町", "한국어", "ไทยภาษา", "हिन्दी", "Здравствуйте", "ελληνικά", "עברית", "العربية"),
    *(
        "😀",
        "👨\u200d👩\u200d👧",
        "\u01c5",
        "\ufb01ne",
        "\u212b",
        "\u2460\u2461",
        "\u00bd",
        "\u2164",
    ),
    *("\uff11\uff12", "\u0663\u0664", "e\u0301", "\u0301", "\u0915\u094d", "\U00010428", "\u00ad"),
    *(
        "\ue000",
        "\U000e0001",
        "\u0378",
        "\u017f",
        "\u212a",
        "\u0130",
        "ß",
        "\ufffd",
        "\x00",
        "\x7f",
    ),
    *("\u2581", "\u2581\u2581", "a\u2581b", "\u2014", "\u201cx\u201d", "\u2026", "\u3002", "€"),
    *("+=<>", "$5", "<<", "^_^", "`x`", "12345678", "3.14", "1,000,000", "0xFF", "</s>", "<0x0A>"),
    *("[CLS]", "##ing", "~~", "||", "\u1c89", "\ua7cb", "\U00016d40", "\u1f7d", "\U0002f800"),
)
_SIGNS = "0123456789.,'\"!?-_/()[]{}<>|@#$%^&*+=~`\\;:"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PLANES = ((32, 127), (0, 0x250), (0, 0x3000), (0x3000, 0xD800), (0xE000, 0x20000))
_ALL = (0x10000, 0x110000)


def random_texts(
    count: int, seed: int, specials: Sequence[str], tokens: Sequence[str]
) -> list[str]:
    """Return texts of up to some 200 characters.

    Args:
        count: how many.
        seed: the same ones come of the same number.
        specials: special tokens of the vocabulary.
        tokens: texts of its other tokens.
    """
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        pieces = (_piece(chance, specials, tokens) for _ in range(chance.randint(1, 18)))
        found.append("".join(pieces))
    return found


def _piece(chance: random.Random, specials: Sequence[str], tokens: Sequence[str]) -> str:
    kind = chance.random()
    if kind < 0.2:
        return chance.choice(_SPACES)
    if kind < 0.4:
        return chance.choice(_ENGLISH) + chance.choice((" ", "", "", "  "))
    if kind < 0.55:
        return chance.choice(_OTHERS)
    if kind < 0.62 and specials:
        text = chance.choice(specials)
        forms = (text, text[:-1], text[1:], f"{text} ", f" {text}", f"{text}\n", f"{text}\xa0")
        return chance.choice(forms)
    if kind < 0.75:
        text = chance.choice(tokens).replace("Ġ", " ").replace("Ċ", "\n")
        return text.replace("\u2581", chance.choice((" ", "\u2581", "")))
    if kind < 0.85:
        return chr(chance.randrange(*chance.choice((*_PLANES, _ALL))))
    if kind < 0.9:
        return chance.choice(_SIGNS) * chance.randint(1, 6)
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randint(1, 12)))
