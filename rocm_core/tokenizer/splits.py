"""How each ``tokenizer.ggml.pre`` cuts a text into words before it merges within them.

Source: ``llm_tokenizer_bpe`` and ``llama_vocab::impl::load`` in llama.cpp's
``src/llama-vocab.cpp``, whose own engine runs these expressions on a text with a letter, a digit, a
sign … in place of each character beyond ASCII (``unicode_regex_split`` in ``src/unicode.cpp``):
here the characters of ``STAND_INS``. Data and regular expressions; pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rocm_core.tokenizer import unicode as tables
from rocm_core.tokenizer.unicode import unicode

# What stands for a character beyond ASCII, by category; another one for all the rest.
STAND_INS = {
    tables.NUMBER: "\xd1",
    tables.LETTER: "\xd2",
    tables.PUNCTUATION: "\xd3",
    tables.MARK: "\xd4",
    tables.SYMBOL: "\xd5",
}
_OTHER, _SPACE = "\xd0", "\v"
# Characters of each class, for use between brackets.
_CLASSES = {
    "N": "0-9\xd1",
    "L": "A-Za-z\xd2",
    "P": r"!-#%-*,-/:-;?-@\[-\]_\{\}" + "\xd3",
    "M": "\xd4",
    "S": r"$+<->\^`|~" + "\xd5",
    "s": r"\t-\r ",
}
_ENGLISH = "'s|'t|'re|'ve|'m|'ll|'d"
_ENGLISH_ANY = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_REST = "|{s}+(?![^{s}])|{s}+"
_GPT2 = _ENGLISH + "| ?{L}+| ?{N}+| ?[^{s}{L}{N}]+" + _REST
_END = "|{s}*[\r\n]+" + _REST
_LLAMA3 = _ENGLISH_ANY + r"|[^\r\n{L}{N}]?{L}+|{N}{{1,3}}| ?[^{s}{L}{N}]+[\r\n]*" + _END
_QWEN2 = _ENGLISH_ANY + r"|[^\r\n{L}{N}]?{L}+|{N}| ?[^{s}{L}{N}]+[\r\n]*" + _END
_QWEN35 = _ENGLISH_ANY + r"|[^\r\n{L}{N}]?[{L}{M}]+|{N}| ?[^{s}{L}{M}{N}]+[\r\n]*" + _END
_UPPER, _LOWER = "[A-Z\xd2]", "[a-z\xd2]"
_CASES = (
    rf"[^\r\n{{L}}{{N}}]?{_UPPER}*{_LOWER}+{{ending}}|[^\r\n{{L}}{{N}}]?{_UPPER}+{_LOWER}*{{ending}}"
    r"|{N}{digits}| ?[^{s}{L}{N}]+[\r\n/]*" + _END
)
_CJK_LETTERS = "+[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{{|}}~][A-Za-z]+|[^\r\n{L}{P}{S}]?[{L}{M}]+"
    "| ?[{P}{S}]+[\r\n]*" + _END
)
_DEEPSEEK_LETTERS = (
    "+{s}?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-"
    "\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-"
    "\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15"
    "\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d"
    "\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183"
    "\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
    "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-"
    "\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb"
    "\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+"
)
_POINTS = " ?[^({s}|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"


class Kind(NamedTuple):
    """What a ``pre`` means.

    Attributes:
        splits: expressions, one after the other within the pieces of the one before. ``{L}`` is a
            class of characters; one that begins with ``+`` reads the characters themselves.
        whole: a word that is a token is that token, whatever the merges are.
        begin: whether the token of the beginning is added unless the header says otherwise.
        raw: words are merged from characters, not bytes, and a space is written ``▁``.
    """

    splits: tuple[str, ...]
    whole: bool = False
    begin: bool = False
    raw: bool = False


_ROWS: dict[str, Kind] = {
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano": Kind(
        (_LLAMA3,), whole=True, begin=True
    ),
    "dbrx smaug-bpe chatglm-bpe": Kind((_LLAMA3,)),
    "glm4 glm5": Kind((_LLAMA3,), whole=True),
    "qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 megrez hunyuan solar-open grok-2": Kind(
        (_QWEN2,)
    ),
    "qwen35": Kind((_QWEN35,)),
    "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert "
    "jina-v1-en jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling exaone4": Kind(
        (_GPT2,)
    ),
    "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2": Kind(("{N}", _GPT2)),
    "falcon": Kind((r"[{P}\$\+<=>\^~\|`]+", _GPT2, "+[0-9][0-9][0-9]")),
    " default": Kind((r"[{P}\$\+<=>\^~\|]+", _GPT2, "{N}+", "+[0-9][0-9][0-9]")),
    "deepseek-llm": Kind(
        (
            "+[\r\n]",
            _DEEPSEEK_LETTERS,
            "+{s}?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
            r"+{s}+\Z",
            _CJK_LETTERS,
            "{N}+",
        )
    ),
    "deepseek-coder": Kind(("+[\r\n]", "{s}?{L}+", "{s}?{P}+", _CJK_LETTERS, "{N}")),
    "deepseek-v3 hunyuan-dense joyai-llm hy_v4": Kind(
        ("{N}{{1,3}}", "+[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", _DEEPSEEK)
    ),
    "poro-chat bloom gpt3-finnish": Kind(("+" + _POINTS,)),
    "viking": Kind(("+" + _POINTS, "{N}")),
    "seed-coder": Kind((_ENGLISH_ANY + r"|[^\r\n{L}{N}]?{L}+|{N}| ?[^{s}{L}{N}\r\n]+" + _END,)),
    "ufakzeka": Kind((r"[^\r\n{L}{N}]?{L}+|{N}| ?[^{s}{L}{N}]+[\r\n]*" + _END,)),
    "bailingmoe bailingmoe2 llada-moe": Kind(
        (_ENGLISH_ANY + r"|[^\r\n{L}{N}]?{L}+|{N}| ?[^{s}{L}{N}]+[\r\n]*|{s}*[\r\n]" + _REST,)
    ),
    "minicpm5": Kind(("{N}{{1,3}}", _LLAMA3.replace("{N}{{1,3}}", "{N}+")), whole=True),
    "tekken": Kind(
        (_CASES.replace("{ending}", "").replace("{digits}", ""),), whole=True, begin=True
    ),
    "gpt-4o llama4 kanana2 talkie minimax-m2": Kind(
        (_CASES.replace("{ending}", f"(?:{_ENGLISH_ANY})?").replace("{digits}", "{{1,3}}"),)
    ),
    "gemma4": Kind(("+[^\n]+|\n+",), raw=True, begin=True),
    "laguna": Kind(("+[^\n]+|\n+", _QWEN2)),
}
KINDS = {name: kind for names, kind in _ROWS.items() for name in names.split(" ") if name} | {
    "": _ROWS[" default"]
}


class _StandIns(dict[int, str]):
    """Code point → what stands for it."""

    def __missing__(self, code_point: int) -> str:
        table = unicode()
        if code_point in table.spaces:
            found = _SPACE
        else:
            found = STAND_INS.get(table.category(code_point), _OTHER)
        self[code_point] = found
        return found


class _Spaces(dict[int, str]):
    """Code point → itself, or what stands for white space."""

    def __missing__(self, code_point: int) -> str:
        self[code_point] = found = _SPACE if code_point in unicode().spaces else chr(code_point)
        return found


_STAND_INS, _SPACES = _StandIns(), _Spaces()
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")


class Splitter:
    """Cuts texts with expressions, one within the pieces of the one before."""

    def __init__(self, splits: Sequence[str]) -> None:
        """``splits``: as in ``Kind``."""
        self._steps = [_step(text) for text in splits]

    def __call__(self, text: str) -> list[str]:
        """Return the pieces of ``text``, in order; joined they are the text."""
        pieces = [text]
        for own, cut in self._steps:
            if len(pieces) == 1:
                pieces = _cut(pieces[0], own, cut)
            else:
                pieces = [each for piece in pieces for each in _cut(piece, own, cut)]
        return pieces


def words_and_rest(kind: Kind) -> tuple[Splitter, Splitter | None]:
    """Return what cuts a text into words, and what cuts within words, if anything does.

    What a word becomes depends on the word alone, so it can be remembered.
    """
    splits = kind.splits
    of_words = next((at for at, text in enumerate(splits) if _finds_words(text)), len(splits) - 1)
    rest = splits[of_words + 1 :]
    return Splitter(splits[: of_words + 1]), Splitter(rest) if rest else None


def _finds_words(text: str) -> bool:
    return "{L}" in text or "A-Za-z" in text or _POINTS in text


def _step(text: str) -> tuple[bool, Callable[[str], list[str]]]:
    """Return whether an expression reads characters themselves, and what cuts a text with it."""
    classes = {name: f"[{chars}]" for name, chars in _CLASSES.items()}
    own = text.startswith("+")
    expression = _filled(text.removeprefix("+"), classes)
    if "[^{s}{L}" in text and text.endswith(_REST):  # leaves nothing out
        return own, re.compile(expression).findall
    split = re.compile(f"({expression})").split
    return own, lambda piece: [part for part in split(piece) if part]


def _cut(text: str, own: bool, cut: Callable[[str], list[str]]) -> list[str]:
    if text.isascii():
        return cut(text)
    table: dict[int, str] = _SPACES if own else _STAND_INS
    parts = cut(_BEYOND_ASCII.sub(lambda found: found[0].translate(table), text))
    found, start = [], 0
    for part in parts:
        end = start + len(part)
        found.append(text[start:end])
        start = end
    return found


def _filled(text: str, classes: dict[str, str]) -> str:
    """Return an expression with its classes; between brackets they are written without theirs."""
    found, inside = [], False
    for part in re.split(r"(\\.|\{[LNPMSs]\}|[\[\]])", text):
        if (part == "[" and not inside) or (part == "]" and inside):
            inside = part == "["
            found.append(part)
        elif part[:1] == "{" and part[1:2] in classes and part[2:] == "}":
            found.append(classes[part[1]][1:-1] if inside else classes[part[1]])
        else:
            found.append(part.replace("{{", "{").replace("}}", "}"))
    return "".join(found)
