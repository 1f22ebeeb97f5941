"""Token ids are those of a real server: random texts, on vocabularies of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core import load_model
from rocm_core.config import Engine
from rocm_core.gguf.vocabulary import read_vocabulary
from rocm_core.tokenizer import Tokenizer, probes
from tests.support.models.vocabularies import KINDS, published, servable, small
from tests.support.random_texts import random_texts

TEXTS, OF_PUBLISHED = 400, 300


def compared(vocabulary: Path, folder: Path, engine: Engine, count: int) -> int:
    """Compare texts with a server of this vocabulary; return how many."""
    header = read_vocabulary(vocabulary)
    tokenizer = Tokenizer(header)
    tokens = [text for text in header.tokens if text]
    texts = random_texts(count, len(tokens), tokenizer.specials, tokens)
    texts += probes(tokenizer.specials)
    with load_model(servable(vocabulary, folder / "model.gguf"), engine=engine) as model:
        theirs = model.tokenize_batch(texts, local=False)
        for text, ids in zip(texts, theirs, strict=True):
            assert tokenizer(text) == ids, text
        for text in texts[::40]:
            whole = model.tokenize(text, add_special=True, local=False)
            assert tokenizer(text, add_special=True) == whole, text
    return len(texts)


@pytest.mark.parametrize("kind", KINDS)
def test_small_vocabularies(kind: str, tmp_path: Path, engine: Engine) -> None:
    assert compared(small(kind, tmp_path), tmp_path, engine, TEXTS) > TEXTS


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", published(), ids=lambda path: path.stem)
def test_published_vocabularies(vocabulary: Path, tmp_path: Path, engine: Engine) -> None:
    assert compared(vocabulary, tmp_path, engine, OF_PUBLISHED) > OF_PUBLISHED
