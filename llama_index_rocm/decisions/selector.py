"""``RocmSelector``: chooses query engines, retrievers or tools by typed questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_selector import BaseSelector, SelectorResult, SingleSelection
from llama_index.core.schema import BaseComponent, QueryBundle
from llama_index.core.tools.types import ToolMetadata
from pydantic import Field

from llama_index_rocm.component import RocmComponent
from rocm_core import Choice, Decision, YesNo
from rocm_core.decisions import Question
from rocm_core.errors import ConfigError

_WHICH = "choice"


class RocmSelector(RocmComponent, BaseComponent, BaseSelector, defer_build=False):
    """Selects choices for a query with a decision model, or with any other by one token.

        engine = RouterQueryEngine.from_defaults(
            selector=RocmSelector(model="path/to/openjev.gguf"), query_engine_tools=tools
        )

    With ``max_selections=1`` it asks which choice fits the query best. With more it asks of each
    choice whether it fits, and takes the likeliest of those above ``min_probability``, or the
    likeliest alone if none is. The reason of a selection tells its probability and who answered: a
    decision model, or one constrained token of any other model, which is calibrated on nothing. The
    server starts at first use. Errors are those of ``rocm_core.errors``.
    """

    instructions: str = Field(
        default="Which of the options is most useful to answer the query?",
        description="The question about one choice of several (max_selections=1).",
    )
    each_instructions: str = Field(
        default="Is this useful to answer the query?",
        description="The question about each choice, whose name and description follow "
        "(max_selections above 1).",
    )
    max_selections: int = Field(
        default=1,
        gt=0,
        description="How many choices at most are selected.",
    )
    min_probability: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="From which probability on a choice is selected (max_selections above 1).",
    )
    calibrated: bool = Field(
        default=False,
        description="Whether only a decision model may answer.",
    )

    @classmethod
    def class_name(cls) -> str:
        """Return the class's name in serialized form."""
        return "rocm_selector"

    def _get_prompts(self) -> dict[str, Any]:
        """Return no prompts: the questions are fields."""
        return {}

    def _update_prompts(self, prompts_dict: dict[str, Any]) -> None:
        """Set no prompts: the questions are fields."""

    def _select(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        questions = self._questions(choices)
        state = {"query": query.query_str}
        decision = self.text_model.decide(state, questions, calibrated=self.calibrated)
        return self._result(decision)

    async def _aselect(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        questions = self._questions(choices)
        state = {"query": query.query_str}
        model = await self._amodel()
        decision = await model.adecide(state, questions, calibrated=self.calibrated)
        return self._result(decision)

    def _questions(self, choices: Sequence[ToolMetadata]) -> dict[str, Question]:
        if not choices:
            raise ConfigError("a selector needs at least one choice")
        if self.max_selections == 1:
            return {_WHICH: Choice(self.instructions, _criteria(choices))}
        return {
            str(index): YesNo(
                {
                    "question": self.each_instructions,
                    "name": choice.name or f"choice {index + 1}",
                    "description": choice.description,
                }
            )
            for index, choice in enumerate(choices)
        }

    def _result(self, decision: Decision) -> SelectorResult:
        if _WHICH in decision.choices:
            answer = decision.choices[_WHICH]
            index = list(answer.probabilities).index(answer.choice)
            best = [(index, answer.probabilities[answer.choice])]
        else:
            each = [(int(n), answer.probability) for n, answer in decision.yes_nos.items()]
            ranked = sorted(each, key=lambda pair: -pair[1])
            likely = [pair for pair in ranked if pair[1] >= self.min_probability]
            best = (likely or ranked[:1])[: self.max_selections]
        return SelectorResult(
            selections=[
                SingleSelection(index=n, reason=f"probability {p:.3f} ({decision.origin})")
                for n, p in best
            ]
        )


def _criteria(choices: Sequence[ToolMetadata]) -> dict[str, Any]:
    names = [choice.name for choice in choices]
    if None in names or "" in names or len(set(names)) < len(names):
        names = [f"choice {index + 1}" for index in range(len(choices))]
    return {str(n): choice.description for n, choice in zip(names, choices, strict=True)}
