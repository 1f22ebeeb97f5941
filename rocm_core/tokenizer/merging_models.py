"""The two kinds of vocabulary whose symbols are merged: byte pairs (BPE) and SentencePiece's (SPM).

Source: ``llm_tokenizer_bpe_session``, ``llm_tokenizer_spm_session`` in llama.cpp's
``src/llama-vocab.cpp``. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

from rocm_core.gguf.vocabulary import Vocabulary
from rocm_core.tokenizer.merging import merged
from rocm_core.tokenizer.special import Unsupported
from rocm_core.tokenizer.splits import Kind, Splitter, words_and_rest
from rocm_core.tokenizer.words import Words

SPACE = "▁"


def _byte_characters() -> list[str]:
    """Return the character that stands for each byte in vocabularies of byte pairs."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(byte if byte in shown else next(others)) for byte in range(256)]


_BYTES = _byte_characters()
_AS_BYTES = str.maketrans({chr(byte): _BYTES[byte] for byte in range(256)})


def byte_name(byte: int) -> str:
    """Return the text of a token that stands for one byte, in vocabularies that have such."""
    return f"<0x{byte:02X}>"


def byte_pairs(
    vocabulary: Vocabulary, ids: Mapping[str, int], kind: Kind
) -> Callable[[str], list[int]]:
    """Return the function from a text without special tokens to token ids.

    Raises:
        Unsupported: the header has no merges, or some of a form that is not known here.
    """
    merges = vocabulary.merges
    if not merges:
        raise Unsupported("the header has no merges")
    if any(" " in merge[1:-1].replace(" ", "", 1) or " " not in merge[1:] for merge in merges):
        raise Unsupported("a merge has more than two parts")
    # Of equal merges the first counts.
    ranks = dict(zip(reversed(merges), range(len(merges) - 1, -1, -1), strict=True))

    def rank(left: str, right: str) -> float:
        return ranks.get(f"{left} {right}", inf)

    def of_symbols(symbols: Sequence[str]) -> list[int]:
        found: list[int] = []
        for symbol in merged(symbols, rank):
            id_ = ids.get(symbol)
            if id_ is not None:
                found.append(id_)
            else:
                found += _bytes_of(symbol)
        return found

    def _bytes_of(symbol: str) -> list[int]:
        names = [byte_name(byte) if kind.raw else chr(byte) for byte in symbol.encode()]
        # A byte beyond ASCII is no text by itself, and so no token of llama.cpp's.
        found = (ids.get(name) for name in names if kind.raw or name.isascii())
        return [id_ for id_ in found if id_ is not None]

    def of_word(word: str) -> list[int]:
        if not kind.raw:
            word = word.encode().decode("latin-1").translate(_AS_BYTES)
        # Gemma 4: a run of line ends is one token if it can be.
        if kind.whole or (kind.raw and not word.strip("\n")):
            id_ = ids.get(word)
            if id_ is not None:
                return [id_]
        return of_symbols(word)

    if kind.raw:
        lines = Splitter(kind.splits)
        word_pattern = _words_pattern(merge.replace(" ", "", 1) for merge in merges)

        def words_of(text: str) -> list[str]:
            pieces = lines(text.replace(" ", SPACE))
            return [word for piece in pieces for word in word_pattern.findall(piece)]

        return _by_words(words_of, Words(of_word))
    split, within = words_and_rest(kind)
    if within is None:
        return _by_words(split, Words(of_word))
    return _by_words(split, Words(lambda word: [id_ for w in within(word) for id_ in of_word(w)]))


def _words_pattern(merged_texts: Iterable[str]) -> re.Pattern[str]:
    """Return the expression of words that no merge joins with the next one.

    A word begins at a space, unless a token may have both this space and the character before it.

    Args:
        merged_texts: every text that can come of a merge.
    """
    joining: set[str] = set()
    for text in merged_texts:
        if SPACE in text:
            joining.update(re.findall(f"([^{SPACE}]){SPACE}", text))
    if not joining:
        return re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
    before = re.escape("".join(sorted(joining)))
    return re.compile(f"{SPACE}*(?:[^{SPACE}]+(?:(?<=[{before}]){SPACE}+)?)+|{SPACE}+")


def sentence_pieces(vocabulary: Vocabulary, ids: Mapping[str, int]) -> Callable[[str], list[int]]:
    """Return the function from a text without special tokens, prefix included, to token ids.

    Raises:
        Unsupported: a byte has no token.
    """
    if any(byte_name(byte) not in ids for byte in range(256)):
        raise Unsupported("a byte has no token")
    scores = vocabulary.scores or [0.0] * len(vocabulary.tokens)
    ranks = {text: -scores[id_] for text, id_ in ids.items()}

    def rank(left: str, right: str) -> float:
        return ranks.get(left + right, inf)

    def of_word(word: str) -> list[int]:
        found: list[int] = []
        for symbol in merged(word, rank):
            id_ = ids.get(symbol)
            if id_ is not None:
                found.append(id_)
            else:
                found += [ids[byte_name(byte)] for byte in symbol.encode()]
        return found

    words = _words_pattern(vocabulary.tokens).findall
    return _by_words(lambda text: words(text.replace(" ", SPACE)), Words(of_word))


def _by_words(split: Callable[[str], list[str]], words: Words) -> Callable[[str], list[int]]:
    def encode(text: str) -> list[int]:
        found: list[int] = []
        for word in split(text):
            found += words[word]
        return found

    return encode
