"""The demo model's tokenizer: a word looks the same wherever it stands, for llama.cpp too."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from tokenizers import Tokenizer

from rocm_core import load_model
from rocm_core.config import Engine
from training.demo_model import tokenizer
from training.demo_model.chat_format import render
from training.demo_model.data import mix


def _cut(learned: Tokenizer, text: str) -> list[str]:
    pieces: list[str] = learned.encode(text, add_special_tokens=False).tokens
    return pieces


@pytest.mark.parametrize("word", ["Paris", "weather", "Xylqwvz", "get"])
def test_a_word_is_cut_alike_with_and_without_a_space(learned: Tokenizer, word: str) -> None:
    alone = _cut(learned, word)
    spaced = _cut(learned, f"in {word}")[1:]
    assert [piece for piece in spaced if piece != "Ġ"] == [f"Ġ{alone[0]}", *alone[1:]]
    quoted = _cut(learned, f'{{"a": "{word}"}}')
    assert quoted == ['{"', "a", '":', 'Ġ"', *alone, '"}']


def test_twins_differ_only_in_the_space(learned: Tokenizer) -> None:
    pairs = tokenizer.twins(learned)
    names = tokenizer.tokens(learned)
    assert len(pairs) > tokenizer.SPACED
    assert all(names[spaced] == f"Ġ{names[bare]}" for spaced, bare in pairs)


def test_every_text_comes_back(learned: Tokenizer) -> None:
    for text in ('北京 "a": {}\n\n\n  x\t7\'', 'don\'t {"a": ["b", "c"]} -- 3.14'):
        ids = learned.encode(text, add_special_tokens=False).ids
        assert learned.decode(ids, skip_special_tokens=False) == text


def test_what_is_learned_is_cut_as_the_whole_text(learned: Tokenizer) -> None:
    # The engine knows no pieces: what is cut otherwise in training, the model never meets again.
    for sample in islice(mix.training(5), 500):
        pieces = [text for text, _ in render(sample.messages, sample.tools, sample.thinking)]
        apart = [token for piece in pieces for token in _cut(learned, piece)]
        assert apart == _cut(learned, "".join(pieces)), sample.skill


def test_llama_cpp_cuts_text_as_training_does(engine: Engine, shipped_tokenizer: Tokenizer) -> None:
    said = [str(m.get("content") or "") for s in islice(mix.training(5), 200) for m in s.messages]
    shuffle = random.Random(1)
    asked = said + ["".join(shuffle.sample(text, len(text))) for text in said]
    with load_model("demo", engine=engine) as model:
        theirs = model.tokenize_batch(asked)
    encoded = [shipped_tokenizer.encode(text, add_special_tokens=False) for text in asked]
    assert theirs == [each.ids for each in encoded]
