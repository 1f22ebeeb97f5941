"""The tokenizer: byte-level BPE in which a value looks the same wherever it stands.

A model copies tokens, not letters.  If ``Paris`` were one token after a space and two tokens
after a quotation mark, copying it from a sentence into JSON would be spelling, not copying.  So
merges happen inside runs of ASCII letters and inside single other characters, nowhere else:
spaces, digits and punctuation marks are tokens of their own.  All 256 bytes are in the
vocabulary, hence any text can be read and written.

llama.cpp cannot be told these rules, but it need not be: its pre-tokenizer ``viking`` cuts text
into larger chunks, and where no merge rule leads across a boundary, the result is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Marks of turns: never part of an answer's text."""

VISIBLE: Final = ("<tool_call>", "</tool_call>", "<think>", "</think>")
"""One token each, but part of the text, for the server's parsers look for them."""

VOCABULARY_SIZE: Final = 1024
PRE_TOKENIZER: Final = "viking"

_RULES = r"[A-Za-z]+|-+|[^A-Za-z]"


def train(texts: Iterable[str]) -> Tokenizer:
    """Learn the merges from ``texts``."""
    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(_RULES), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(VISIBLE),
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in VISIBLE])
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Read a tokenizer that ``train`` made and ``save`` wrote."""
    return Tokenizer.from_file(str(path))


def tokens(tokenizer: Tokenizer) -> list[str]:
    """The stored text of every token, in the order of the ids."""
    by_id = {id_: text for text, id_ in tokenizer.get_vocab(with_added_tokens=True).items()}
    return [by_id[i] for i in range(len(by_id))]


def merges(tokenizer: Tokenizer) -> list[str]:
    """The merge rules, first learned first, as GGUF stores them."""
    rules = json.loads(tokenizer.to_str())["model"]["merges"]
    return [rule if isinstance(rule, str) else " ".join(rule) for rule in rules]
