"""``RocmRerank``: LangChain's document compressor and cross encoder, by a reranking model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from langchain_rocm.errors import model_errors
from langchain_rocm.options import ServedOptions
from rocm_core import LoadConfig
from rocm_core.adapter import beside_loop
from rocm_core.errors import ConfigError
from rocm_core.requests import check_texts

# Architectures whose scores are probabilities (pooling ``rank`` in llama.cpp's
# ``src/llama-graph.cpp``).
_GIVE_PROBABILITIES = ("qwen3",)
_PAIR = 2


class RocmRerank(ServedOptions, BaseDocumentCompressor, BaseCrossEncoder):
    """Keeps the documents that answer a query best, by a GGUF reranking model or a running server.

        rerank = RocmRerank(model="path/to/bge-reranker-v2-m3-Q8_0.gguf", top_n=3)
        retriever = ContextualCompressionRetriever(
            base_compressor=rerank, base_retriever=store.as_retriever(search_kwargs={"k": 20})
        )

    Each document is returned with its score as ``metadata["relevance_score"]``, best first.
    ``score`` is LangChain's cross encoder, for ``CrossEncoderReranker`` and your own code.
    Load options are those of ``rocm_core.LoadConfig``; ``ubatch_size`` is the longest pair of query
    and document in tokens (default: the model's context, at most 8192; causal rerankers, such as
    Qwen3's, need no such batch where the engine reads a pair in pieces). The server starts at first
    use.
    """

    top_n: int | None = Field(
        default=3,
        ge=1,
        description="How many documents to keep; None for all of them.",
    )
    normalize: bool | None = Field(
        default=None,
        description=(
            "Whether to map the model's scores to 0..1 with the logistic function, so that one "
            "threshold fits all models. None: unless the model's scores are probabilities "
            "already."
        ),
    )

    def load_config(self) -> LoadConfig:
        """Return the load options, with reranking mode."""
        return self.changed_config(rerank=True)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return copies of the ``top_n`` best documents, best first, with their scores.

        Raises:
            langchain_rocm.errors: the request failed.
        """
        ranks = self.rank(query, [document.page_content for document in documents])
        return [_scored(documents[index], score) for index, score in ranks]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """``compress_documents`` for asyncio."""
        ranks = await self.arank(query, [document.page_content for document in documents])
        return [_scored(documents[index], score) for index, score in ranks]

    def rank(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Return ``(index, score)`` of the ``top_n`` best texts, best first; empty for no texts.

        Raises:
            langchain_rocm.errors: the request failed.
        """
        if not texts:
            return []
        with model_errors():
            ranks = self.text_model.rerank(query, texts, self._count(texts))
            return self._normalized(ranks)

    async def arank(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """``rank`` for asyncio."""
        if not texts:
            return []
        with model_errors():
            model = await self._amodel()
            ranks = await model.arerank(query, texts, self._count(texts))
            # The architecture is read from the file, once.
            return await beside_loop(self._normalized, ranks)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return the score of each pair of query and document, in their order.

        One request for each query; ``timeout`` is the limit of all of them together.

        Raises:
            langchain_rocm.errors: a request failed; ``ConfigError`` if a pair is none.
        """
        scores = [0.0] * len(text_pairs)
        with model_errors():
            groups = _by_query(text_pairs)
            model = self.text_model
            deadline = model.deadline()
            for query, places in groups.items():
                documents = [text_pairs[place][1] for place in places]
                ranks = model.rerank(query, documents, deadline=deadline)
                for index, score in self._normalized(ranks):
                    scores[places[index]] = score
        return scores

    async def ascore(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """``score`` for asyncio, which LangChain's class does not have."""
        scores = [0.0] * len(text_pairs)
        with model_errors():
            groups = _by_query(text_pairs)
            model = await self._amodel()
            deadline = model.deadline()
            for query, places in groups.items():
                documents = [text_pairs[place][1] for place in places]
                ranks = await model.arerank(query, documents, deadline=deadline)
                for index, score in await beside_loop(self._normalized, ranks):
                    scores[places[index]] = score
        return scores

    def _count(self, texts: Sequence[str]) -> int:
        return min(self.top_n or len(texts), len(texts))

    def _normalized(self, ranks: list[tuple[int, float]]) -> list[tuple[int, float]]:
        wanted = self.normalize
        if wanted is None:
            architecture = self.text_model.model_type or ""
            wanted = not architecture.startswith(_GIVE_PROBABILITIES)
        return [(index, _logistic(score)) for index, score in ranks] if wanted else ranks


def _by_query(pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Return the places of each query's pairs.

    Raises:
        ConfigError: a pair is none, or one of its texts cannot be sent.
    """
    groups: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != _PAIR:
            raise ConfigError(f"text_pairs[{place}] is no pair of a query and a document")
        check_texts(pair, f"text_pairs[{place}]")
        groups.setdefault(pair[0], []).append(place)
    return groups


def _logistic(score: float) -> float:
    # Two forms, because each overflows for large numbers of one sign.
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    return math.exp(score) / (1 + math.exp(score))


def _scored(document: Document, score: float) -> Document:
    metadata = {**document.metadata, "relevance_score": score}
    return document.model_copy(update={"metadata": metadata})
