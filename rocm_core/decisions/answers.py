"""The answers of a decision. Plain data, and the arithmetic of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from rocm_core.decisions.questions import Choice, Score
from rocm_core.types import Usage

A = TypeVar("A")

Origin = Literal["decision model", "constrained token"]
"""Who answered: a model made for decisions, whose probabilities are scaled with the temperatures
in its file; or any other model, by the probabilities of one token, calibrated on nothing."""


@dataclass(frozen=True, slots=True)
class ChoiceAnswer:
    """An option.

    Attributes:
        choice: the label of the likeliest option.
        probabilities: of each option, by its label; their sum is 1.
        confidence: 0 (all options are equally likely) to 1: how far the likeliest is above that.
    """

    choice: str
    probabilities: Mapping[str, float]
    confidence: float


@dataclass(frozen=True, slots=True)
class ScoreAnswer:
    """A place on a scale.

    Attributes:
        score: the expected level, 0 to the last; it may be between two levels.
        probabilities: of each level; their sum is 1.
        confidence: 0 to 1, by the mean distance from the likeliest level; 0 also where the
            probability is spread over the levels on one side of it.
    """

    score: float
    probabilities: Sequence[float]
    confidence: float

    @property
    def share(self) -> float:
        """The score as a share of the scale, 0 (its lowest level) to 1 (its highest)."""
        return self.score / (len(self.probabilities) - 1)


@dataclass(frozen=True, slots=True)
class YesNoAnswer:
    """Yes or no.

    Attributes:
        probability: of yes, 0 to 1.
    """

    probability: float


@dataclass(frozen=True, slots=True)
class BoxAnswer:
    """A place in an image.

    Attributes:
        top, bottom: edges as shares of the image's height, from its top.
        left, right: edges as shares of its width, from its left.
        confidence: 0 to 1; ``None`` if it was not told.
    """

    top: float
    bottom: float
    left: float
    right: float
    confidence: float | None = None


Answer = ChoiceAnswer | ScoreAnswer | YesNoAnswer | BoxAnswer


@dataclass(frozen=True, slots=True)
class Decision:
    """The answers to the questions of one request.

    Attributes:
        answers: by the ids of the questions, in their order.
        origin: ``decision model`` or ``constrained token``.
        model: the server's name of the model; empty if it told none.
        usage: tokens of all questions together; a decision model generates none.
    """

    answers: Mapping[str, Answer]
    origin: Origin
    model: str = ""
    usage: Usage | None = None

    def _of(self, kind: type[A]) -> dict[str, A]:
        return {name: answer for name, answer in self.answers.items() if isinstance(answer, kind)}

    @property
    def choices(self) -> dict[str, ChoiceAnswer]:
        """The answers to ``Choice`` questions."""
        return self._of(ChoiceAnswer)

    @property
    def scores(self) -> dict[str, ScoreAnswer]:
        """The answers to ``Score`` questions."""
        return self._of(ScoreAnswer)

    @property
    def yes_nos(self) -> dict[str, YesNoAnswer]:
        """The answers to ``YesNo`` questions."""
        return self._of(YesNoAnswer)

    @property
    def boxes(self) -> dict[str, BoxAnswer]:
        """The answers to ``Box`` questions."""
        return self._of(BoxAnswer)


def answer_of(question: Any, probabilities: Sequence[float]) -> Answer:
    """Return the answer that the probabilities of a question's options make.

    Confidences by the formulas of llama-server (``decision_confidence_choice`` and ``…_score`` in
    ``tools/server/server-decision.cpp``), so that both origins can be compared.

    Args:
        question: a ``Choice``, ``Score`` or ``YesNo``.
        probabilities: of its ``options()``, in their order; their sum is 1.
    """
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    if isinstance(question, Choice):
        labels = list(question.options())
        shares = dict(zip(labels, probabilities, strict=True))
        return ChoiceAnswer(labels[best], shares, _choice_confidence(probabilities))
    if isinstance(question, Score):
        expected = sum(level * p for level, p in enumerate(probabilities))
        return ScoreAnswer(expected, tuple(probabilities), _score_confidence(probabilities, best))
    return YesNoAnswer(probabilities[0])


def _choice_confidence(probabilities: Sequence[float]) -> float:
    if len(probabilities) < 2:
        return 1.0
    uniform = 1 / len(probabilities)
    return min(1.0, max(0.0, (max(probabilities) - uniform) / (1 - uniform)))


def _score_confidence(probabilities: Sequence[float], mode: int) -> float:
    count = len(probabilities)
    distance = sum(p * abs(level - mode) for level, p in enumerate(probabilities))
    uniform = sum(abs(level - (count - 1) / 2) for level in range(count)) / count
    return min(1.0, max(0.0, 1 - distance / uniform))
