"""The two kinds of vocabulary that are matched: WordPiece (WPM) and unigrams (UGM).

Source: ``llm_tokenizer_wpm_session``, ``llm_tokenizer_ugm`` in llama.cpp's
``src/llama-vocab.cpp``. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import inf

from rocm_core.gguf.vocabulary import Vocabulary
from rocm_core.tokenizer import unicode as tables
from rocm_core.tokenizer.charsmap import Charsmap
from rocm_core.tokenizer.special import NORMAL, UNUSED, USER_DEFINED, Unsupported
from rocm_core.tokenizer.unicode import unicode
from rocm_core.tokenizer.words import Words

_SPACE = "▁"
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # as llama.cpp has it
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class _Normal(dict[int, str]):
    """Code point → what is matched in its place, with spaces around what is a word by itself."""

    def __init__(self, lowercase: bool, strip_accents: bool) -> None:
        super().__init__()
        self._lowercase = lowercase
        self._strip_accents = strip_accents

    def __missing__(self, given: int) -> str:
        self[given] = found = self._of(given)
        return found

    def _of(self, code: int) -> str:
        table = unicode()
        if self._strip_accents:
            code = table.decomposed(code)
        category = table.category(code)
        if code in table.spaces:
            return " "
        if code in (0, 0xFFFD) or category == tables.CONTROL:
            return ""
        if self._strip_accents and category == tables.MARK:
            return ""
        text = chr(table.lowercase.get(code, code) if self._lowercase else code)
        chinese = any(first <= code <= last for first, last in _CHINESE)
        sign = category == tables.PUNCTUATION or (code < 0x7F and category == tables.SYMBOL)
        return f" {text} " if sign or chinese else text


def word_pieces(
    vocabulary: Vocabulary, ids: Mapping[str, int], unknown: int
) -> Callable[[str], list[int]]:
    """Return the function from a text without special tokens to token ids."""
    lowercase = bool(vocabulary.get("normalizer.lowercase", True))
    accents = bool(vocabulary.get("normalizer.strip_accents", lowercase))
    normal = _Normal(lowercase, accents)
    longest = max(map(len, ids), default=0)

    def of_word(word: str) -> list[int]:
        word = _SPACE + word
        found, start = [], 0
        while start < len(word):
            for end in range(min(len(word), start + longest), start, -1):
                id_ = ids.get(word[start:end])
                if id_ is not None:
                    break
            else:
                return [unknown]
            found.append(id_)
            start = end
        return found

    words = Words(of_word)

    def encode(text: str) -> list[int]:
        found: list[int] = []
        for word in text.translate(normal).split(" "):
            if word:
                found += words[word]
        return found

    return encode


def unigrams(
    vocabulary: Vocabulary,
    ids: Mapping[str, int],
    types: Sequence[int],
    unknown: int,
) -> Callable[[str], list[int]]:
    """Return the function from a text without special tokens to token ids.

    Raises:
        Unsupported: scores that do not add up exactly, or a user's token beyond ASCII, whose
            letters llama.cpp reads apart.
    """
    given = [*vocabulary.types] or [NORMAL] * len(vocabulary.tokens)
    scores = vocabulary.scores or [0.0] * len(vocabulary.tokens)
    if any(score * 2**30 % 1 for score in scores):
        raise Unsupported("scores are too close to zero")
    own = [text for text, id_ in ids.items() if given[id_] == USER_DEFINED]
    if not all(text.isascii() for text in own):
        raise Unsupported("a user's token is not ASCII")
    pieces = {
        text: (id_, 0.0 if types[id_] == USER_DEFINED else float(scores[id_]))
        for text, id_ in ids.items()
        if given[id_] in (NORMAL, USER_DEFINED, UNUSED)
    }
    least = min((scores[id_] for id_, type_ in enumerate(given) if type_ == NORMAL), default=0.0)
    penalty = struct.unpack("f", struct.pack("f", least - 10.0))[0]
    best_path = _Viterbi(pieces, unknown, penalty)
    whole = any(_SPACE in text[1:].lstrip(_SPACE) for text in pieces) or _SPACE not in pieces
    normalize = Charsmap(vocabulary.charsmap, own).normalized
    merge_spaces = bool(vocabulary.get("remove_extra_whitespaces", False))
    prefix = bool(vocabulary.get("add_space_prefix", False))
    words = Words(best_path)

    def cut(text: str) -> list[str]:
        parts = normalize(text).split(" ")
        if merge_spaces:
            return [_SPACE + part for part in parts if part]
        text = _SPACE.join(parts)
        if prefix and text.strip(_SPACE):
            # Before the first character that is no space.
            bare = text.lstrip(_SPACE)
            text = text[: len(text) - len(bare)] + _SPACE + bare
        return [text] if text else []

    def encode(text: str) -> list[int]:
        cuts = cut(text)
        if whole or not merge_spaces:
            joined = "".join(cuts)
            return best_path(joined) if joined else []
        found: list[int] = []
        for word in cuts:
            found += words[word]
        return found

    return encode


class _Viterbi:
    """Finds the pieces of a text with the highest sum of scores."""

    def __init__(
        self, pieces: Mapping[str, tuple[int, float]], unknown: int, unknown_score: float
    ) -> None:
        self._pieces = pieces
        self._unknown = unknown
        self._unknown_score = unknown_score
        self._longest: dict[str, int] = {}
        for text in pieces:
            self._longest[text[0]] = max(self._longest.get(text[0], 0), len(text))

    def __call__(self, text: str) -> list[int]:
        count = len(text)
        sums = [0.0] + [-inf] * count
        ids = [self._unknown] * (count + 1)
        starts = [0] * (count + 1)
        for start in range(count):
            so_far, single = sums[start], False
            for end in range(start + 1, min(count, start + self._longest.get(text[start], 0)) + 1):
                piece = self._pieces.get(text[start:end])
                if piece is None:
                    continue
                single = single or end == start + 1
                if so_far + piece[1] > sums[end]:
                    sums[end], ids[end], starts[end] = so_far + piece[1], piece[0], start
            if not single and so_far + self._unknown_score > sums[start + 1]:
                sums[start + 1] = so_far + self._unknown_score
                ids[start + 1], starts[start + 1] = self._unknown, start
        found: list[int] = []
        end = count
        while True:
            # Unknown characters in a row are one token.
            if ids[end] != self._unknown or not found or found[-1] != self._unknown:
                found.append(ids[end])
            if not starts[end]:
                break
            end = starts[end]
        return found[::-1]
