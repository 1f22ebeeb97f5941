"""``RocmTokenizer``: exact on both engines, and fast enough to be LlamaIndex's own."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core import Document, Settings, get_response_synthesizer
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_rocm import RocmEmbedding, RocmLLM, RocmTokenizer
from rocm_core import TextModel
from rocm_core.errors import ProtocolError
from tests.support.servers.fake_server import FakeServer, answer

DOCS = "\n\n".join(
    path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parents[2].glob("*.md"))
)


@pytest.fixture
def tokenizer(llm: RocmLLM) -> RocmTokenizer:
    """One that asks the server, whose requests can be counted."""
    return RocmTokenizer(llm, local=False)


@pytest.fixture(scope="module")
def words(engine: Any, minilm: Path, embedding_model: TextModel) -> Iterator[RocmEmbedding]:
    """A model whose tokens are words and parts of words, and whose server adds special ones."""
    embedding = RocmEmbedding(model=str(minilm), engine=engine)
    yield embedding
    embedding.close()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.text(), max_size=6))
def test_each_text_of_a_batch_is_as_if_it_were_alone(llm: RocmLLM, texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    model = llm.text_model
    assert model.tokenize_batch(texts) == [model.tokenize(text) for text in texts]


def test_it_agrees_with_the_server(words: RocmEmbedding) -> None:
    tokenizer = RocmTokenizer(words)
    tokenizer(DOCS[:8000])  # fills the cache with words
    pieces = [*DOCS[:8000].split(" "), *(f" {word}" for word in DOCS[:8000].split(" "))]
    for text in [*pieces[::7], "", " ", "日本の町", "a\nb", DOCS[:3000]]:
        assert tokenizer(text) == words.text_model.tokenize(text)


def test_special_tokens_in_a_text_count_as_the_server_counts(tokenizer: RocmTokenizer) -> None:
    assert len(tokenizer("<|im_end|>")) == 1


async def test_the_async_client_has_batches_too(llm: RocmLLM) -> None:
    client = llm.text_model.connection.aclient
    assert await client.tokenize_batch(["a", "bc"]) == llm.text_model.tokenize_batch(["a", "bc"])


def test_what_was_seen_is_not_asked_again(tokenizer: RocmTokenizer) -> None:
    long = "word " * 100
    for text in (long, "word", " word", long, "new", "new"):
        tokenizer(text)
    assert (tokenizer.calls, tokenizer.requests) == (6, 2)


def test_callers_may_change_what_they_get(tokenizer: RocmTokenizer) -> None:
    tokenizer("abc").clear()
    assert tokenizer("abc") == tokenizer.encode("abc") != []


def test_a_long_text_is_cut_into_requests_of_a_bounded_size(
    tokenizer: RocmTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_index_rocm.tokenizer._MAX_WORDS", 10)
    monkeypatch.setattr("llama_index_rocm.tokenizer._MAX_SHORT", 5)
    small = RocmTokenizer(tokenizer._llm, local=False)
    text = " ".join(f"w{n}" for n in range(200))
    assert small(text) == tokenizer(text)
    assert small("w3") == tokenizer("w3")
    assert small("w199") == tokenizer("w199")


def test_any_thread_may_call_it(tokenizer: RocmTokenizer) -> None:
    expected = len(tokenizer._llm.text_model.tokenize("thread 1"))
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(len(tokenizer("thread 1")))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [expected] * 8
    assert tokenizer.requests == 1


def test_in_this_process_it_answers_the_same_without_requests(words: RocmEmbedding) -> None:
    local, asking = RocmTokenizer(words, local=True), RocmTokenizer(words, local=False)
    for text in (DOCS[:3000], "word", " word", "", " ", "日本の町", "a\nb"):
        assert local(text) == asking(text)
    assert (local.requests, local.calls) == (0, 7)
    assert pickle.loads(pickle.dumps(local))._local is True


def test_workers_get_one_of_their_own(llm: RocmLLM) -> None:
    twin = pickle.loads(pickle.dumps(RocmTokenizer(llm)))
    assert twin("abc") == RocmTokenizer(llm)("abc")
    twin._llm.close()


def test_a_server_without_batches_is_found_out() -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        server.script("/tokenize", answer(b'{"tokens":[1,2,3]}'))
        with pytest.raises(ProtocolError, match="asked for 1 texts"):
            RocmTokenizer(RocmLLM(model=server.url))("abc")


# -- as LlamaIndex's tokenizer ------------------------------------------------------------------


@pytest.fixture
def everywhere(words: RocmEmbedding) -> Iterator[RocmTokenizer]:
    words.text_model.load()
    tokenizer = RocmTokenizer(words)
    before = Settings._tokenizer
    Settings.tokenizer = tokenizer
    yield tokenizer
    Settings._tokenizer = before


def test_a_compact_synthesis_of_ten_nodes(everywhere: RocmTokenizer) -> None:
    text = (DOCS * 8)[:60_000]
    nodes = [
        NodeWithScore(node=TextNode(text=text[at : at + 4500]), score=1.0)
        for at in range(0, 45_000, 4500)
    ]
    begun = time.process_time()
    synthesizer = get_response_synthesizer(
        llm=MockLLM(max_tokens=5), response_mode=ResponseMode.COMPACT
    )
    synthesizer.synthesize("What is it?", nodes)
    seconds = time.process_time() - begun
    assert everywhere.calls > 5000
    assert everywhere.requests < everywhere.calls / 50
    assert seconds < 2


def test_splitting_by_the_models_own_tokens(everywhere: RocmTokenizer) -> None:
    splitter = SentenceSplitter(chunk_size=100, chunk_overlap=0)
    nodes = splitter.get_nodes_from_documents([Document(text=DOCS[:6000])])
    lengths = [len(everywhere(node.get_content())) for node in nodes]
    assert len(nodes) > 5
    assert max(lengths) <= 100
