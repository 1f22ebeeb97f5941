"""``RocmRerank`` on both real engines, and its events."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import SecretStr

from llama_index_rocm import RocmRerank
from rocm_core import TextModel
from rocm_core.errors import ConfigError, ContextOverflow
from tests.support.adapters.observing import observed_events
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, answer

TEXTS = ["a card", "a boat", "an old ship on a river", "bread"]
QUERY = "Where is the ship?"
REPLY = b'{"results":[{"index":2,"relevance_score":3.5},{"index":0,"relevance_score":-1.0}]}'


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=text), score=0.5) for text in TEXTS]


@pytest.fixture(scope="module")
def rerank(engine: Any, ranker: Path, rerank_model: TextModel) -> Iterator[RocmRerank]:
    rerank = RocmRerank(model=str(ranker), engine=engine, top_n=3)
    rerank.text_model.load()
    yield rerank
    rerank.close()


async def test_best_first_and_the_same_for_asyncio(rerank: RocmRerank) -> None:
    ranked = rerank.postprocess_nodes(nodes(), query_str=QUERY)
    scores = [node.score or 0 for node in ranked]
    assert len(ranked) == 3
    assert scores == sorted(scores, reverse=True)
    expected = rerank.text_model.rerank(QUERY, TEXTS)[:3]
    assert [node.node_id for node in ranked] == [TEXTS[index] for index, _ in expected]
    again = await rerank.apostprocess_nodes(nodes(), QueryBundle(QUERY))
    assert [(n.node_id, n.score) for n in again] == [(n.node_id, n.score) for n in ranked]


def test_the_retrievers_nodes_stay_as_they_are(rerank: RocmRerank) -> None:
    given = nodes()
    rerank.postprocess_nodes(given, query_str=QUERY)
    assert [(node.node_id, node.score) for node in given] == [(text, 0.5) for text in TEXTS]


async def test_inside_a_query_engine(rerank: RocmRerank) -> None:
    index = VectorStoreIndex.from_documents(
        [Document(text=text) for text in TEXTS], embed_model=MockEmbedding(embed_dim=4)
    )
    engine = index.as_query_engine(
        llm=MockLLM(max_tokens=1), similarity_top_k=4, node_postprocessors=[rerank]
    )
    best = TEXTS[rerank.text_model.rerank(QUERY, TEXTS)[0][0]]
    for response in (engine.query(QUERY), await engine.aquery(QUERY)):
        assert len(response.source_nodes) == 3
        assert response.source_nodes[0].node.get_content() == best


def test_two_event_loops(rerank: RocmRerank) -> None:
    runs = [asyncio.run(rerank.apostprocess_nodes(nodes(), query_str=QUERY)) for _ in range(2)]
    assert runs[0] == runs[1]


# -- without a model --------------------------------------------------------------------------


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    scripted.script("/v1/rerank", answer(REPLY))
    return scripted


async def test_events_once_per_call(server: FakeServer) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = RocmRerank(model=server.url, top_n=2, callback_manager=CallbackManager([debug]))
    with observed_events() as seen:
        ranked = rerank.postprocess_nodes(nodes(), query_str=QUERY)
        await rerank.apostprocess_nodes(nodes(), query_str=QUERY)
    assert seen.counts() == {"ReRankStartEvent": 2, "ReRankEndEvent": 2}
    start, end = seen.events[:2]
    assert isinstance(start, ReRankStartEvent) and isinstance(end, ReRankEndEvent)
    assert (start.top_n, len(start.nodes)) == (2, 4)
    assert end.nodes == ranked
    pairs = debug.get_event_pairs(CBEventType.RERANKING)
    assert len(pairs) == 2
    assert pairs[0][1].payload is not None
    assert pairs[0][1].payload[EventPayload.NODES] == ranked


def test_metadata_counts_as_text(server: FakeServer) -> None:
    node = TextNode(text="body", metadata={"title": "T"})
    RocmRerank(model=server.url, top_n=2).postprocess_nodes(
        [NodeWithScore(node=node), *nodes()], query_str=QUERY
    )
    body = server.requests[-1].body
    assert body["query"] == QUERY
    assert body["documents"][0] == "title: T\n\nbody"


def test_nothing_to_rank_asks_nothing_and_no_query_is_an_error(server: FakeServer) -> None:
    rerank = RocmRerank(model=server.url)
    assert rerank.postprocess_nodes([], query_str=QUERY) == []
    assert not server.requests
    with pytest.raises(ConfigError, match="query"):
        rerank.postprocess_nodes(nodes())


def test_a_component() -> None:
    own = RocmRerank(model="http://127.0.0.1:1", api_key=SecretStr("sk-secret"), top_n=7)
    assert RocmRerank.class_name() == "rocm_rerank"
    twin = RocmRerank.from_dict(own.to_dict())
    assert (twin.top_n, twin.model) == (7, own.model)
    assert pickle.loads(pickle.dumps(twin)).top_n == 7
    assert "sk-secret" not in str([own, own.to_dict(), own.model_dump()])
    assert RocmRerank(model=RECITER).load_config().rerank
    assert not own.load_config().rerank


async def test_the_bad_one_of_many_nodes_is_told_by_its_index(rerank: RocmRerank) -> None:
    half = [*nodes(), NodeWithScore(node=TextNode(text="b\ud83d c"))]
    with pytest.raises(ConfigError, match=r"documents\[4\], which begins with 'b.*surrogate"):
        rerank.postprocess_nodes(half, query_str=QUERY)
    with pytest.raises(ConfigError, match=r"documents\[4\], which begins with 'b.*surrogate"):
        await rerank.apostprocess_nodes(half, QueryBundle(QUERY))
    long = [*nodes(), NodeWithScore(node=TextNode(text="word " * 700))]
    with pytest.raises(ContextOverflow, match=r"documents\[4\], which begins with 'word"):
        rerank.postprocess_nodes(long, query_str=QUERY)
