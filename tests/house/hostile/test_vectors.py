"""Embeddings, ranks and facts are those of the request, or there is an error that says which."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from langchain_rocm import RocmEmbeddings, RocmRerank
from llama_index_rocm import RocmEmbedding
from llama_index_rocm import RocmRerank as IndexRerank
from rocm_core import load_model
from rocm_core.backend.endpoint_probe import forget_dialects
from rocm_core.errors import RocmError
from tests.support.servers.fake_server import FakeServer, answer
from tests.support.servers.hostile import LIMIT, Case, vectors
from tests.support.servers.hostile.vectors import BEST, TEXTS, VECTORS

# A minute in all.
pytestmark = pytest.mark.slow

# Every peer that is cut off would go on for twice as long, at least.
SLACK = 3.0
Ask = Callable[[str, float], Any]


def _nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]


def _reranked(url: str, limit: float) -> list[tuple[int, float]]:
    rerank = IndexRerank(base_url=url, timeout=limit, top_n=3)
    best = rerank.postprocess_nodes(_nodes(), query_bundle=QueryBundle("q"))
    return [(TEXTS.index(node.text), node.score or 0.0) for node in best]


EMBED: dict[str, Ask] = {
    "blocking": lambda url, limit: load_model(url, timeout=limit).embed(TEXTS),
    "asyncio": lambda url, limit: asyncio.run(load_model(url, timeout=limit).aembed(TEXTS)),
    "LangChain": lambda url, limit: RocmEmbeddings(base_url=url, timeout=limit).embed_documents(
        list(TEXTS)
    ),
    "LlamaIndex": lambda url, limit: RocmEmbedding(
        base_url=url, timeout=limit
    ).get_text_embedding_batch(list(TEXTS)),
}
RERANK: dict[str, Ask] = {
    "blocking": lambda url, limit: load_model(url, timeout=limit).rerank("q", TEXTS),
    "asyncio": lambda url, limit: asyncio.run(load_model(url, timeout=limit).arerank("q", TEXTS)),
    "LangChain": lambda url, limit: RocmRerank(
        base_url=url, timeout=limit, top_n=None, normalize=False
    ).rank("q", TEXTS),
    "LlamaIndex": _reranked,
}
LOAD: dict[str, Ask] = {
    "blocking": lambda url, limit: load_model(url, timeout=limit).load(),
    "asyncio": lambda url, limit: asyncio.run(load_model(url, timeout=limit).aload()),
}


def fault(case: Case, ask: Ask, server: FakeServer, right: Any = None) -> str:
    """What is wrong with what comes of a case; empty for nothing."""
    limit = LIMIT if case.slow else 10.0
    start = time.monotonic()
    try:
        found = ask(server.url, limit)
    except RocmError as error:
        if case.says is not None or not isinstance(error, case.raises):
            return repr(error)
        if case.words not in str(error):
            return f"the words {error}"
    except Exception as error:
        return f"an error of others: {error!r}"
    else:
        if case.says is None or (right is not None and found != right):
            return f"the answer {found!r}"
    if time.monotonic() - start > limit + SLACK:
        return f"took {time.monotonic() - start:.1f} s"
    return ""


def faults(
    cases: list[Case], path: str, ask: Ask, server: FakeServer, right: Any
) -> dict[str, Any]:
    found = {}
    for case in cases:
        forget_dialects()
        server.script(path, case.reply)
        if what := fault(case, ask, server, right):
            found[case.name] = what
    return found


def test_there_are_enough_cases() -> None:
    tables = vectors.cases("data"), vectors.cases("results"), vectors.facts(), vectors.lists()
    assert sum(map(len, tables)) >= 120


@pytest.mark.parametrize("way", EMBED)
def test_vectors_are_those_of_the_texts(way: str, scripted: FakeServer) -> None:
    found = faults(vectors.cases("data"), "/v1/embeddings", EMBED[way], scripted, VECTORS)
    assert found == {}


@pytest.mark.parametrize("way", RERANK)
def test_scores_are_those_of_the_documents(way: str, scripted: FakeServer) -> None:
    found = faults(vectors.cases("results"), "/v1/rerank", RERANK[way], scripted, BEST)
    assert found == {}


@pytest.mark.parametrize("way", LOAD)
def test_facts_are_believed_if_they_can_be(way: str, scripted: FakeServer) -> None:
    assert faults(vectors.facts(), "/props", LOAD[way], scripted, None) == {}


@pytest.mark.parametrize("way", LOAD)
def test_lists_of_models_are_believed_if_they_can_be(way: str, scripted: FakeServer) -> None:
    assert faults(vectors.lists(), "/v1/models", LOAD[way], scripted, None) == {}


def test_fewer_of_the_best_are_those(scripted: FakeServer) -> None:
    """A server that does not know ``top_n`` sends all of them."""
    rows = b'{"index": 0, "relevance_score": 1.0}, {"index": 1, "relevance_score": 3.0}'
    scripted.script("/v1/rerank", answer(b'{"results": [%b]}' % rows))
    with load_model(scripted.url) as model:
        assert model.rerank("q", ["a", "b"], top_n=1) == [(1, 3.0)]
