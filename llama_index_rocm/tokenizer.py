"""Tokenize with the model's own tokenizer, fast enough for ``Settings.tokenizer``.

LlamaIndex calls the tokenizer often: about 12,000 times to put ten nodes into one prompt, nearly
always with single words, most of them seen before. So

    a text seen before  → the answer from the cache
    any other           → this process, where the model's GGUF file is on this machine and its
                          tokenizer has been found equal to the server's (``rocm_core.tokenizer``)
    until then, or else → POST /tokenize: a long text and its words in one request, a short one

Every count is the server's own, for any model on any machine; nothing is estimated.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from rocm_core import Deadline
from rocm_core.adapter import RocmOptions

# Characters from which on LlamaIndex is likely to split a text into words, and to count each.
_LONG = 200
# Longest request: words beyond it are asked for when they come up.
_MAX_WORDS = 20_000
# The cache holds short texts (words, sentences) and a few long ones (nodes, prompts).
_MAX_SHORT, _MAX_LONG = 200_000, 64


class RocmTokenizer:
    """Turns text into token ids with the model's own tokenizer. Thread-safe.

        Settings.tokenizer = RocmTokenizer(llm)

    Special tokens inside a text count as such (``<|im_end|>`` is one token); none is added.
    The first call starts the server. A call blocks for one request, or not at all if the text
    is in the cache or is tokenized in this process, as most models' are after the first calls:
    inside an event loop, ``await llm.text_model.aload()`` first.

    Attributes:
        calls: number of calls.
        requests: number of requests to the server.
    """

    def __init__(self, llm: RocmOptions, *, local: bool | None = None) -> None:
        """Tokenize with the model of ``llm``.

        Args:
            llm: an object of any class of this package.
            local: ``False`` always asks the server; ``True`` builds the tokenizer in this process
                at the first call, and raises ``ConfigError`` if it cannot; ``None``: the server
                answers until it is built in the background, and further on if it cannot be.
        """
        self.calls = 0
        self.requests = 0
        self._llm = llm
        self._local = local
        self._short = _Cache(_MAX_SHORT)
        self._long = _Cache(_MAX_LONG)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RocmTokenizer({self._llm.loaded_name()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # LlamaIndex pickles node parsers, with their tokenizer, for worker processes.
        return (_made, (self._llm, self._local))

    def __call__(self, text: str) -> list[int]:
        """Return the token ids of ``text``; errors as ``TextModel.tokenize``."""
        deadline = None
        if not self._lock.acquire(blocking=False):
            deadline = self._llm.text_model.deadline()
            deadline.acquire(self._lock, "waiting for the tokens that another thread asked for")
        try:
            self.calls += 1
            ids = self._cached(text)
            if ids is None:
                ids = self._ask(text, deadline)
            return list(ids)
        finally:
            self._lock.release()

    def encode(self, text: str, *_: Any, **__: Any) -> list[int]:
        """Return the token ids of ``text``, under the name that other tokenizers use."""
        return self(text)

    def _cached(self, text: str) -> list[int] | None:
        return (self._long if len(text) >= _LONG else self._short).get(text)

    def _ask(self, text: str, deadline: Deadline | None) -> list[int]:
        model = self._llm.text_model
        if self._local or (self._local is None and model.tokenizes_here):
            ids = model.tokenize(text, local=self._local, deadline=deadline)
            if len(text) < _LONG:
                self._short.put(text, ids)
            return ids
        texts = [text]
        if len(text) >= _LONG:
            texts += [word for word in _words(text) if self._short.get(word) is None]
            del texts[_MAX_WORDS:]
        self.requests += 1
        found = model.tokenize_batch(texts, local=self._local, deadline=deadline)
        for each, ids in zip(texts, found, strict=True):
            (self._long if len(each) >= _LONG else self._short).put(each, ids)
        own = self._cached(text)
        assert own is not None
        return own


def _made(llm: RocmOptions, local: bool | None) -> RocmTokenizer:
    return RocmTokenizer(llm, local=local)


def _words(text: str) -> list[str]:
    # As TokenTextSplitter and SentenceSplitter split: the space belongs to the next word.
    first, *others = text.split(" ")
    words = dict.fromkeys([first, *(f" {word}" for word in others)])
    return [word for word in words if word and len(word) < _LONG]


class _Cache:
    """Token ids by text; drops the least recently used text beyond ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: OrderedDict[str, list[int]] = OrderedDict()

    def get(self, text: str) -> list[int] | None:
        ids = self._ids.get(text)
        if ids is not None:
            self._ids.move_to_end(text)
        return ids

    def put(self, text: str, ids: list[int]) -> None:
        self._ids[text] = ids
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
