"""``RocmRerank``: a LlamaIndex node postprocessor that reranks on llama-server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher
from pydantic import Field

from llama_index_rocm.component import RocmComponent
from rocm_core import LoadConfig
from rocm_core.errors import ConfigError

dispatcher = get_dispatcher(__name__)


class RocmRerank(RocmComponent, BaseNodePostprocessor):
    """A GGUF reranking model on llama.cpp, or a running llama-server started with ``--rerank``.

        engine = index.as_query_engine(
            similarity_top_k=10, node_postprocessors=[RocmRerank(model="reranker.gguf", top_n=3)]
        )

    The model scores each node's text and metadata, as they were embedded, against the query. The
    ``top_n`` best nodes are returned, best first, with the model's score (a logit for most
    models). The server starts at first use. Errors are those of ``rocm_core.errors``;
    ``ConfigError`` if there is no query.
    """

    top_n: int = Field(
        default=5,
        gt=0,
        description="How many nodes to keep.",
    )

    @classmethod
    def class_name(cls) -> str:
        """Return the class's name in serialized form."""
        return "rocm_rerank"

    def load_config(self) -> LoadConfig:
        """Return the load options, with reranking mode."""
        return self._in_mode(rerank=True)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not nodes:
            return []
        query = query_of(query_bundle)
        with observed(self, nodes, query) as ranked:
            ranks = self.text_model.rerank(query.query_str, _texts(nodes), self.top_n)
            ranked.extend(_picked(nodes, ranks))
        return ranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not nodes:
            return []
        query = query_of(query_bundle)
        with observed(self, nodes, query) as ranked:
            model = await self._amodel()
            ranks = await model.arerank(query.query_str, _texts(nodes), self.top_n)
            ranked.extend(_picked(nodes, ranks))
        return ranked


@contextlib.contextmanager
def observed(
    ranker: Any, nodes: list[NodeWithScore], query: QueryBundle
) -> Iterator[list[NodeWithScore]]:
    """Send LlamaIndex's events before and after; the caller fills the list with the result.

    Args:
        ranker: a postprocessor of this package with ``top_n``.
        nodes: what it was given.
        query: what it compares them with.
    """
    name = ranker.loaded_name()
    dispatcher.event(
        ReRankStartEvent(query=query, nodes=nodes, top_n=ranker.top_n, model_name=name)
    )
    payload: dict[str, Any] = {
        EventPayload.NODES: nodes,
        EventPayload.MODEL_NAME: name,
        EventPayload.QUERY_STR: query.query_str,
        EventPayload.TOP_K: ranker.top_n,
    }
    ranked: list[NodeWithScore] = []
    with ranker.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
        yield ranked
        event.on_end(payload={EventPayload.NODES: ranked})
    dispatcher.event(ReRankEndEvent(nodes=ranked))


def query_of(query_bundle: QueryBundle | None) -> QueryBundle:
    """Return the query; raise ``ConfigError`` if there is none."""
    if query_bundle is None:
        raise ConfigError("reranking needs the query: give query_bundle= or query_str=")
    return query_bundle


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]


def _picked(
    nodes: Sequence[NodeWithScore], ranks: Sequence[tuple[int, float]]
) -> list[NodeWithScore]:
    # New objects, so that the retriever's keep the retriever's score.
    return [NodeWithScore(node=nodes[index].node, score=score) for index, score in ranks]
