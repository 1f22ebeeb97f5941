"""The parts of a tokenizer, without an engine."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from rocm_core.errors import InvalidGGUF
from rocm_core.gguf.vocabulary import read_vocabulary
from rocm_core.tokenizer import Tokenizer, Unsupported, probes
from rocm_core.tokenizer.merging import _merged_by_queue, merged
from rocm_core.tokenizer.special import Partition, Special
from rocm_core.tokenizer.splits import KINDS, Splitter, words_and_rest
from rocm_core.tokenizer.unicode import LETTER, unicode
from rocm_core.tokenizer.words import Words
from tests.support.models.vocabularies import small
from tests.support.random_texts import random_texts


def test_both_ways_of_merging_are_one() -> None:
    chance = random.Random(3)
    ranks = {(a + b): float(chance.randrange(9)) for a in "abc" for b in ("a", "b", "ab", "bc")}

    def rank(left: str, right: str) -> float:
        return ranks.get(left + right, inf)

    for _ in range(500):
        text = "".join(chance.choice("abcd") for _ in range(chance.randint(0, 90)))
        assert merged(text, rank) == _merged_by_queue(text, rank)


@pytest.mark.parametrize("pre", KINDS)
def test_words_joined_are_the_text(pre: str) -> None:
    words, within = words_and_rest(KINDS[pre])
    for text in random_texts(200, 5, ["<|x|>"], ["word", "Ġand"]):
        pieces = words(text)
        assert "".join(pieces) == text
        if within is not None:
            pieces = [part for piece in pieces for part in within(piece)]
        assert pieces == Splitter(KINDS[pre].splits)(text)


def test_the_longest_special_token_goes_first() -> None:
    cut = Partition({"<a>": Special(1), "<a><b>": Special(2), "\n": Special(3), "\n\n": Special(4)})
    assert list(cut("x<a><b><a>\n\n\ny<")) == ["x", 2, 1, 4, 3, "y<"]


def test_one_that_is_longer_goes_before_one_that_begins_earlier() -> None:
    cut = Partition({"ab<": Special(1), "<long>": Special(2)})
    assert list(cut("xab<long>ab<")) == ["xab", 2, 1]


def test_white_space_is_dropped_where_a_token_says_so() -> None:
    cut = Partition({"<l>": Special(1, strip_left=True), "<r>": Special(2, strip_right=True)})
    assert list(cut("a \n<l> b <r> \t\xa0c<r>  ")) == ["a", 1, " b ", 2, "\xa0c", 2]


@pytest.mark.parametrize("specials", [("<a", "a>"), ("ab", "ba")])
def test_tokens_whose_order_is_not_known_are_not_guessed(specials: tuple[str, ...]) -> None:
    with pytest.raises(Unsupported, match="may overlap"):
        Partition({text: Special(number) for number, text in enumerate(specials)})


def test_a_letter_that_came_later_is_none() -> None:
    # Garay and a Latin letter of Unicode 16; Python may know them.
    assert [unicode().category(code) == LETTER for code in (0x61, 0x10D4A, 0xA7CB)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"tokenizer.ggml.model": "rwkv"}, "model='rwkv' is not known"),
        ({"tokenizer.ggml.pre": "kimi-k2"}, "pre='kimi-k2' is not known"),
    ],
)
def test_an_unknown_kind_says_what_is_unknown(
    keys: dict[str, str], why: str, tmp_path: Path
) -> None:
    vocabulary = read_vocabulary(small("gpt2/qwen2", tmp_path))
    with pytest.raises(Unsupported, match=why):
        Tokenizer(replace(vocabulary, keys={**vocabulary.keys, **keys}))


def test_types_that_are_corrected(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(small("llama", tmp_path))
    ordinary = replace(vocabulary, types=[1] * len(vocabulary.tokens))
    end = vocabulary.tokens.index("</s>")
    assert Tokenizer(ordinary)("x</s>y").count(end) == 1


def test_an_array_of_another_type_is_damage(tmp_path: Path) -> None:
    path = small("llama", tmp_path)
    data = path.read_bytes().replace(
        b"tokenizer.ggml.token_type\x09\0\0\0\x05", b"tokenizer.ggml.token_type\x09\0\0\0\x06"
    )
    path.write_bytes(data)
    with pytest.raises(InvalidGGUF, match="token_type has items of type 6"):
        read_vocabulary(path)


def test_probes_are_some_sixty_and_name_special_tokens() -> None:
    texts = probes([f"<|{number}|>" for number in range(300)])
    assert 50 < len(texts) == len(set(texts)) < 80
    assert sum("<|" in text and "|>" in text for text in texts) >= 8


def test_words_are_forgotten_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rocm_core.tokenizer.words._MOST", 10)
    words = Words(lambda word: [len(word)])
    assert [words["a" * n] for n in range(100)] == [(n,) for n in range(100)]
    assert len(words) <= 10


def test_it_is_imported_only_where_it_is_used() -> None:
    code = (
        "import sys; from langchain_rocm import ChatRocm; from llama_index_rocm import RocmLLM;"
        "print([m for m in sys.modules if m.startswith('rocm_core.tokenizer') or "
        "m == 'rocm_core.gguf.vocabulary'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
