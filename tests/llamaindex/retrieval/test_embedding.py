"""``RocmEmbedding`` on both real engines with a real model, and what it sends."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import SecretStr

from llama_index_rocm import RocmEmbedding
from rocm_core import TextModel
from rocm_core.errors import ConfigError, ContextOverflow, NotSupported
from tests.support.adapters.observing import Collector, observed_events
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, Reply, Request, answer

TEXTS = ["The cat sleeps.", "A graphics card computes.", "Rain in Köln 日本"]
REPLY = b'{"data":[{"index":1,"embedding":[0.0,1.0]},{"index":0,"embedding":[1.0,0.0]}]}'
ONE = b'{"data":[{"index":0,"embedding":[1.0,0.0]}]}'


@pytest.fixture(scope="module")
def embedding(engine: Any, minilm: Path, embedding_model: TextModel) -> Iterator[RocmEmbedding]:
    embedding = RocmEmbedding(model=str(minilm), engine=engine, embed_batch_size=2)
    embedding.text_model.load()
    yield embedding
    embedding.close()


def near(one: list[float], other: list[float]) -> bool:
    return one == pytest.approx(other, abs=1e-4)


async def test_every_method_gives_the_same_vectors(embedding: RocmEmbedding) -> None:
    alone = [embedding.get_text_embedding(text) for text in TEXTS]
    batch = embedding.get_text_embedding_batch(TEXTS)
    abatch = await embedding.aget_text_embedding_batch(TEXTS)
    assert len(alone[0]) == 384
    for index, text in enumerate(TEXTS):
        assert near(batch[index], alone[index])
        assert near(abatch[index], alone[index])
        assert near(await embedding.aget_text_embedding(text), alone[index])
        assert near(embedding.get_query_embedding(text), alone[index])
        assert near(await embedding.aget_query_embedding(text), alone[index])
    assert embedding.get_text_embedding_batch([]) == []


def test_normalize(embedding: RocmEmbedding) -> None:
    raw = embedding.model_copy(update={"normalize": False})
    length = sum(x * x for x in embedding.get_text_embedding("Hello")) ** 0.5
    assert length == pytest.approx(1, abs=1e-3)
    assert sum(x * x for x in raw.get_text_embedding("Hello")) ** 0.5 > 1.5
    raw.close()


def test_an_index_finds_the_right_document(embedding: RocmEmbedding) -> None:
    documents = [
        Document(text="Llamas are animals that live in the Andes and hum."),
        Document(text="A supervisor restarts a server process that has died."),
        Document(text="Bread is baked from flour, water and salt."),
    ]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    for question, word in (("Who watches the program?", "supervisor"), ("animals", "Llamas")):
        (found,) = index.as_retriever(similarity_top_k=1).retrieve(question)
        assert word in found.text


async def test_an_ingestion_pipeline(embedding: RocmEmbedding) -> None:
    pipeline = IngestionPipeline(transformations=[SentenceSplitter(), embedding])
    nodes = await pipeline.arun(documents=[Document(text=text) for text in TEXTS])
    assert [len(node.embedding or ()) for node in nodes] == [384] * 3


async def test_the_loop_goes_on_while_the_server_works(engine: Any, minilm: Path) -> None:
    own = RocmEmbedding(model=str(minilm), engine=engine, parallel=2)
    ticks = 0

    async def clock() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    task = asyncio.create_task(clock())
    await own.aget_text_embedding_batch([f"{text} {n}" for n in range(40) for text in TEXTS])
    task.cancel()
    own.close()
    assert ticks > 5


def test_two_event_loops(embedding: RocmEmbedding) -> None:
    first, second = (asyncio.run(embedding.aget_query_embedding("x")) for _ in range(2))
    assert near(first, second)


def test_a_chat_model_says_that_it_cannot(engine: Any) -> None:
    # A server that somebody else runs, without --embeddings.
    from rocm_core import load_model

    with load_model(RECITER, engine=engine, port=0) as model:
        model.load()
        client = model.connection.client
        key = client._headers["authorization"].removeprefix("Bearer ")
        remote = RocmEmbedding(model=client.base_url, api_key=SecretStr(key))
        with pytest.raises(NotSupported):
            remote.get_text_embedding("x")


# -- what is sent -----------------------------------------------------------------------------


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    def vectors(request: Request) -> Reply:
        return answer(REPLY if len(request.body["input"]) == 2 else ONE)

    scripted.script("/v1/embeddings", vectors)
    return scripted


def bodies(server: FakeServer) -> list[Any]:
    return [request.body for request in server.requests if request.path == "/v1/embeddings"]


async def test_a_batch_is_one_request_in_order(server: FakeServer) -> None:
    embedding = RocmEmbedding(model=server.url)
    assert embedding.get_text_embedding_batch(["a", "b"]) == [[1.0, 0.0], [0.0, 1.0]]
    assert await embedding.aget_text_embedding_batch(["c", "d"]) == [[1.0, 0.0], [0.0, 1.0]]
    assert [body["input"] for body in bodies(server)] == [["a", "b"], ["c", "d"]]


def test_instructions(server: FakeServer) -> None:
    embedding = RocmEmbedding(
        model=server.url, query_instruction="query: ", text_instruction="passage:"
    )
    embedding.get_query_embedding("cat")
    embedding.get_text_embedding_batch(["cat", "dog"])
    assert [body["input"] for body in bodies(server)] == [
        ["query: cat"],
        ["passage: cat", "passage: dog"],
    ]


def test_the_cache_of_llama_index(server: FakeServer) -> None:
    embedding = RocmEmbedding(model=server.url, embeddings_cache=SimpleKVStore())
    embedding.get_text_embedding("a")
    embedding.get_text_embedding("a")
    assert len(bodies(server)) == 1


def test_events_and_token_counts(server: FakeServer) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    embedding = RocmEmbedding(model=server.url, callback_manager=CallbackManager([counter]))
    collector: Collector
    with observed_events() as collector:
        embedding.get_text_embedding_batch(["a b", "c"])
    assert collector.counts() == {"EmbeddingStartEvent": 1, "EmbeddingEndEvent": 1}
    end = collector.events[-1]
    assert isinstance(end, EmbeddingEndEvent)
    assert end.chunks == ["a b", "c"]
    assert counter.total_embedding_token_count == 3


# -- as a component ---------------------------------------------------------------------------


def test_it_is_an_embedding_with_a_name() -> None:
    names = [cls.__name__ for cls in RocmEmbedding.__mro__]
    assert BaseEmbedding.__name__ in names
    assert RocmEmbedding.class_name() == "rocm_embedding"
    assert RocmEmbedding(model="demo").model_name == "demo"
    assert RocmEmbedding(base_url="http://127.0.0.1:1", model="bge").model_name == "bge"
    assert RocmEmbedding(model="demo", model_name="mine").model_name == "mine"
    assert MockEmbedding(embed_dim=1).class_name() != RocmEmbedding.class_name()


def test_dict_and_pickle_without_the_key() -> None:
    own = RocmEmbedding(
        model="http://127.0.0.1:1", api_key=SecretStr("sk-secret"), query_instruction="q: "
    )
    twin = RocmEmbedding.from_dict(own.to_dict())
    assert twin.to_dict() == own.to_dict()
    assert pickle.loads(pickle.dumps(twin)).query_instruction == "q: "
    shown = [repr(own), own.to_dict(), own.model_dump()]
    if hasattr(own, "to_payload"):  # not of the oldest LlamaIndex
        shown.append(own.to_payload())
    assert "sk-secret" not in str(shown)


def test_the_server_runs_in_the_right_mode_and_under_its_own_name() -> None:
    config = RocmEmbedding(model="demo", pooling="cls").load_config()
    assert (config.embeddings, config.pooling, config.model_name) == (True, "cls", None)
    remote = RocmEmbedding(base_url="http://127.0.0.1:1", model="bge").load_config()
    assert (remote.embeddings, remote.model_name) == (False, "bge")


def test_pooling_has_no_effect_on_a_running_server_and_that_is_said() -> None:
    with pytest.warns(UserWarning, match="pooling: no effect on a server that already runs"):
        RocmEmbedding(base_url="http://127.0.0.1:1", pooling="cls").text_model.close()


def test_nothing_else_is_needed_of_the_settings(embedding: RocmEmbedding) -> None:
    index = VectorStoreIndex.from_documents([Document(text="Hi.")], embed_model=embedding)
    assert str(index.as_query_engine(llm=MockLLM(max_tokens=1)).query("Hi?"))


async def test_the_bad_one_of_many_texts_is_told(embedding: RocmEmbedding) -> None:
    half = ["a", "b", "c", "b\ud83d c"]
    with pytest.raises(ConfigError, match=r"texts\[3\], which begins with 'b.*surrogate"):
        embedding.get_text_embedding_batch(half)
    with pytest.raises(ConfigError, match=r"texts\[3\], which begins with 'b.*surrogate"):
        await embedding.aget_text_embedding_batch(half)
    with pytest.raises(ConfigError, match="half a surrogate pair"):
        embedding.get_query_embedding(half[3])
    with pytest.raises(ContextOverflow, match="which begins with 'word word"):
        embedding.get_text_embedding_batch(["a", "b", "c", "word " * 700])
