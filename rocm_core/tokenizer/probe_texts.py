"""Texts that tell tokenizers apart: each has led one astray that was nearly right. Data.

A tokenizer is used only after it has answered these as the model's own server does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_TEXTS = (
    "Hello, World! I'm sure they're here, WE'LL SEE; 'Tis he'd've.",
    "the 's 't 're 've 'm 'll 'd 'S 'T 'RE 'VE 'M 'LL 'D",
    "camelCaseWords snake_case HTTPServer iPhone XMLHttpRequest",
    "1 12 123 1234 12345 123456789 3.14 1,000,000 0xFF a1b2c3",
    "\u0661\u0662\u0663 \uff11\uff12\uff13 \xbd \u2160\u2161 \xb2\xb3 \u2460\u2461",
    " leading",
    "trailing ",
    "  two",
    "   three   spaces   ",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "a\nb\n\nc\r\n\r\nd \n e\n \n",
    "tab\tand\t\ttabs \t \n\t x",
    "\x0b\x0c\x85\xa0\u1680\u2028\u3000 x",
    "\u200b\u200d\ufeff\xad zero width",
    "\x00 \x01 \x1b \x1c\x1d\x1e\x1f \x7f",
    "!!! ??? ... --- *** === >>> <<< ||| ~~~ ``` \\\\ //",
    "$5 + 3 = 8; a^b | c < d > e `f` ~g #h @i %j &k",
    "(parentheses) [brackets] {braces} \"quotes\" 'single' <angle>",
    'for (int i = 0; i < n; ++i) { printf("%d\\n", a[i]); }',
    "    def f(x):\n        return x ** 2  # comment\n\n\n",
    "https://example.com/a/b?c=d&e=%20f#g user@example.org",
    "na\xefve caf\xe9 Stra\xdfe \xc5ngstr\xf6m co\xf6perate \u0152uvre",
    "nai\u0308ve cafe\u0301 A\u030a \u0301alone \u0915\u094d\u0937\u093f",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435, \u043c\u0438\u0440!",
    "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5 \u1f5f\u1f7d"
    "\u1fbe",
    "\u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0639\u0627\u0644\u0645 \u06d4 \u060c \u0967\u0968",
    "\u4eba\u5de5\u667a\u80fd\uff0c\u8ba1\u7b97\u673a\u79d1\u5b66\u3002\u300c\u5f15\u7528\u300d"
    "\u9fa6\u3400",
    "\u65e5\u672c\u306e\u753a\u3001\u30ab\u30bf\u30ab\u30ca\u30fc\uff76\uff80 \u304c \u304b\u3099",
    "\ud55c\uad6d\uc5b4 \uac00\uac01 \u1112\u1161\u11ab",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u09ac\u09be\u0982\u09b2\u09be \u0ba4\u0bae\u0bbf\u0bb4"
    "\u0bcd",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\u01c5 \u0130 \u0131 \u017f \u212a \u2126 \u1e9e \ufb01 \u01f0",
    "\U00010400\U00010428 \U0001e900 \U00020000 \U0002f800 \U00016d40",
    "\u1c89\ua7cb \u0378 \ue000 \U000e0001 \U0003ffff \ufffd",
    "\u2018x\u2019 \u201cy\u201d \u2014 \u2026 \u20ac \xa3 \u2122 \xa9 \u2192 \u221a",
    "\u2581 \u2581\u2581a\u2581b \u2581\u2581\u2581",
    "\u0120\u010a a\u0120b \xc4\xa0",
    "<0x0A> <0xFF> <s> </s> <unk> [CLS] [MASK] ##ing <|endoftext|>",
    "<| < |> <|im_ end|> </ s> <mask <pad>x</pad> ><",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aa",
    "abababababababababab \xe9\xe9\xe9\xe9\xe9\xe9 ........................................",
    "Pneumonoultramicroscopicsilicovolcanoconiosis floccinaucinihilipilification",
    "wow\u3000 \xa0x  \n\n  y\u2009z \u205f",
    "x\u0301\u0302 1\u0301 !\u0301 \u0301\u0302 \n\u0301",
)
# Around a special token: what llama.cpp drops or keeps there.
_FRAMES = ("a {0}  b", "{0}", " {0}\n\nx", "x\t{0}\u00a0 {0} ", "{0}{0}y")
_SPECIALS = 8


def probes(specials: Sequence[str]) -> list[str]:
    """Return the texts to compare; ``specials``: the texts of a vocabulary's special tokens."""
    return [*_TEXTS, *_around(specials)]


def _around(specials: Sequence[str]) -> Iterable[str]:
    chosen = specials[:: max(1, len(specials) // _SPECIALS)][:_SPECIALS]
    for number, special in enumerate(chosen):
        yield _FRAMES[number % len(_FRAMES)].format(special)
        yield f"u {special[:-1]} v{special}  w"
