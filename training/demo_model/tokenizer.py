"""The tokenizer: byte-level BPE in which a value looks the same wherever it stands.

A model copies tokens, not letters.  If ``Paris`` were one token after a space and two tokens
after a quotation mark, copying it from a sentence into JSON would be spelling, not copying.  So
merges happen inside runs of ASCII letters first, and digits and most marks are tokens of their
own.  All 256 bytes are in the vocabulary, hence any text can be read and written.

Only then may a space join the piece that it precedes, and the marks of JSON one another: a word
is cut into the same pieces with and without a space before it.  Spaces of their own were a fifth
of all tokens; without them a training step reads a third more conversations.  ``twins`` tells
which tokens differ in the space only, and the network starts with almost the same embedding for
both.

llama.cpp cannot be told these rules, but it need not be: its pre-tokenizer ``viking`` cuts text
into larger chunks, and where no merge rule leads across a boundary, the result is the same.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Marks of turns: never part of an answer's text."""

VISIBLE: Final = ("<tool_call>", "</tool_call>", "<think>", "</think>")
"""One token each, but part of the text, for the server's parsers look for them."""

PIECES: Final = 1024
"""Size of the vocabulary before spaces and the marks of JSON are joined to anything."""

SPACED: Final = 512
"""So many pieces also exist with a space before them: those that follow one most often."""

PRE_TOKENIZER: Final = "viking"

_CUT_TO_LEARN = r"[A-Za-z]+|-+|[^A-Za-z]"
_CUT = r" ?[A-Za-z]+| ?[\"{}\[\]:]+|-+|\n+|[^A-Za-z]"

_SPACE = "Ġ"
"""How byte-level BPE writes a space; a line end is ``Ċ``."""

_MARKS: Final = (
    ('"', ":"),
    (_SPACE, '"'),
    ("{", '"'),
    (_SPACE, "{"),
    (_SPACE, '{"'),
    ('"', "}"),
    ('"}', "}"),
    ("}", "}"),
    ("[", '"'),
    (_SPACE, "["),
    (_SPACE, '["'),
    ('"', "]"),
    ("Ċ", "Ċ"),
)
"""Merges in JSON's marks and line ends, after those in words."""


def _cutter(rules: str) -> pre_tokenizers.PreTokenizer:
    cut = pre_tokenizers.Split(Regex(rules), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([cut, to_bytes])


def train(texts: Iterable[str]) -> Tokenizer:
    """Learn the merges from ``texts``."""
    texts = list(texts)
    learner = _learn_pieces(texts)
    rules = [*_rules(learner), *_MARKS]
    rules += [(_SPACE, piece) for piece in _after_spaces(learner, texts)]
    vocabulary = learner.get_vocab()
    for left, right in rules:
        vocabulary.setdefault(left + right, len(vocabulary))
    return assemble(vocabulary, rules)


def assemble(vocabulary: dict[str, int], rules: list[tuple[str, str]]) -> Tokenizer:
    """The tokenizer of a vocabulary and merge rules, as they stand in a GGUF too."""
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=rules))
    tokenizer.pre_tokenizer = _cutter(_CUT)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in VISIBLE])
    return tokenizer


def _learn_pieces(texts: list[str]) -> Tokenizer:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _cutter(_CUT_TO_LEARN)
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES - len(VISIBLE),
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    return learner


def _after_spaces(learner: Tokenizer, texts: list[str]) -> list[str]:
    """The pieces of words that stand after a space most often, and every letter."""
    counted = Counter(string.ascii_letters)
    for encoded in learner.encode_batch(texts, add_special_tokens=False):
        pairs = pairwise(encoded.tokens)
        counted.update(right for left, right in pairs if left == _SPACE and right.isalpha())
    words = [piece for piece, _ in counted.most_common() if piece.isascii()]
    rare = [letter for letter in string.ascii_letters if letter not in words[:SPACED]]
    return [*words[: SPACED - len(rare)], *rare]


def twins(tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Tokens that differ in the space before them only: the ids with it and without."""
    ids = tokenizer.get_vocab(with_added_tokens=True)
    spaced = [text for text in ids if text.startswith(_SPACE) and text.removeprefix(_SPACE) in ids]
    return [(ids[text], ids[text.removeprefix(_SPACE)]) for text in spaced]


def load(path: Path) -> Tokenizer:
    """Read a tokenizer that ``train`` made and ``save`` wrote."""
    return Tokenizer.from_file(str(path))


def tokens(tokenizer: Tokenizer) -> list[str]:
    """The stored text of every token, in the order of the ids."""
    by_id = {id_: text for text, id_ in tokenizer.get_vocab(with_added_tokens=True).items()}
    return [by_id[i] for i in range(len(by_id))]


def merges(tokenizer: Tokenizer) -> list[str]:
    """The merge rules, first learned first, as GGUF stores them."""
    return [" ".join(rule) for rule in _rules(tokenizer)]


def _rules(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    rules = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(left, right) for left, right in rules]
