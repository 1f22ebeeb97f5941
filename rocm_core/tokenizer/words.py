"""Token ids of words, remembered: most words of a text have been seen before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# Some 20 MB. Words of a language: a hundred thousand make up nearly all of any text.
_MOST = 100_000
_LONGEST = 64


class Words(dict[str, tuple[int, ...]]):
    """Words → token ids; an unknown word is tokenized when it is looked up.

    Threads may use one at the same time: they may compute the ids of a word twice.
    """

    def __init__(self, tokenize: Callable[[str], Iterable[int]]) -> None:
        super().__init__()
        self._tokenize = tokenize

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = tuple(self._tokenize(word))
        if len(word) <= _LONGEST:
            if len(self) >= _MOST:
                self.clear()
            self[word] = ids
        return ids

    def __reduce__(self) -> Any:
        raise TypeError("the words of a tokenizer are not pickled; build another")
