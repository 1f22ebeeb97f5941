"""``RocmDecisionRerank``: a node postprocessor that asks how well each node answers the query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import Field

from llama_index_rocm.component import RocmComponent
from llama_index_rocm.rerank import observed, query_of
from rocm_core import Decision, Score

_ID = "answers"
_LEVELS = (
    "It has nothing to do with the query.",
    "It is about the same subject, and does not answer the query.",
    "It answers the query in part.",
    "It answers the query.",
)


class RocmDecisionRerank(RocmComponent, BaseNodePostprocessor, defer_build=False):
    """Reranks by a score question about each node, with a decision model or any other.

        engine = index.as_query_engine(
            similarity_top_k=10,
            node_postprocessors=[RocmDecisionRerank(model="path/to/openjev.gguf", top_n=3)],
        )

    Each node's text and metadata, as they were embedded, is a state of its own beside the query:
    one request per node, in asyncio as many at once as the server has slots. The ``top_n`` best are
    returned, best first, with the expected level as their score, 0 (the lowest level) to 1. For
    ordinary models that are no rerankers; a reranking model (``RocmRerank``) is faster. The server
    starts at first use. Errors are those of ``rocm_core.errors``; ``ConfigError`` if there is no
    query.
    """

    top_n: int = Field(
        default=5,
        gt=0,
        description="How many nodes to keep.",
    )
    instructions: str = Field(
        default="How well does the document answer the query?",
        description="The question about each node.",
    )
    levels: list[str] = Field(
        default_factory=lambda: list(_LEVELS),
        min_length=2,
        description="What each level of the score means, the lowest first; 2 to 10.",
    )
    calibrated: bool = Field(
        default=False,
        description="Whether only a decision model may answer.",
    )

    @classmethod
    def class_name(cls) -> str:
        """Return the class's name in serialized form."""
        return "rocm_decision_rerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not nodes:
            return []
        query = query_of(query_bundle)
        with observed(self, nodes, query) as ranked:
            model, questions = self.text_model, self._questions()
            deadline = model.deadline()
            decided = [
                model.decide(state, questions, calibrated=self.calibrated, deadline=deadline)
                for state in _states(nodes, query)
            ]
            ranked.extend(self._picked(nodes, decided))
        return ranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not nodes:
            return []
        query = query_of(query_bundle)
        with observed(self, nodes, query) as ranked:
            model, questions = await self._amodel(), self._questions()
            deadline = model.deadline()
            tasks = [
                asyncio.ensure_future(
                    model.adecide(state, questions, calibrated=self.calibrated, deadline=deadline)
                )
                for state in _states(nodes, query)
            ]
            try:
                decided = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
            ranked.extend(self._picked(nodes, decided))
        return ranked

    def _questions(self) -> dict[str, Score]:
        return {_ID: Score(self.instructions, self.levels)}

    def _picked(
        self, nodes: Sequence[NodeWithScore], decided: Sequence[Decision]
    ) -> list[NodeWithScore]:
        scores = [decision.scores[_ID].share for decision in decided]
        best = sorted(range(len(nodes)), key=lambda index: -scores[index])[: self.top_n]
        # New objects, so that the retriever's keep the retriever's score.
        return [NodeWithScore(node=nodes[index].node, score=scores[index]) for index in best]


def _states(nodes: Sequence[NodeWithScore], query: QueryBundle) -> list[dict[str, str]]:
    texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
    return [{"query": query.query_str, "document": text} for text in texts]
