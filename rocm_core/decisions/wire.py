"""Write the questions of ``POST /v1/systemone``, and read its answers. Pure.

Shapes: llama.cpp ``tools/server/README.md`` and ``tools/server/server-decision.cpp``
(``parse_questions``, ``format_answer``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rocm_core.decisions.answers import (
    Answer,
    BoxAnswer,
    ChoiceAnswer,
    Decision,
    ScoreAnswer,
    YesNoAnswer,
)
from rocm_core.decisions.questions import Box, Choice, Question, Score, YesNo
from rocm_core.errors import ConfigError, ProtocolError
from rocm_core.types import Usage

Questions = Mapping[str, Question]
_NUMBERS = {int, float}
# Probabilities are sums of 32-bit floats.
_SLACK = 1e-3


def request_body(state: Any, questions: Questions, images: Sequence[str] = ()) -> dict[str, Any]:
    """Return the body of ``POST /v1/systemone``.

    Args:
        state: what the questions are about: text, or a JSON object or array.
        questions: by their ids.
        images: data URLs.

    Raises:
        ConfigError: there is no state or no question, or a question cannot be asked like this.
    """
    check(state, questions, images)
    body: dict[str, Any] = {
        "state": state,
        "questions": {name: _question(question) for name, question in questions.items()},
    }
    return body | ({"images": list(images)} if images else {})


def check(state: Any, questions: Questions, images: Sequence[str] = ()) -> None:
    """Raise ``ConfigError`` for what no server can answer."""
    if state is None:
        raise ConfigError("a decision needs a state: text, or a JSON object or array")
    if not isinstance(questions, Mapping) or not questions:
        raise ConfigError("give the questions of a decision by their ids: {'route': Choice(…)}")
    for image in images:
        if not isinstance(image, str) or not image.startswith("data:image/"):
            raise ConfigError(
                f"an image of a decision is a data URL (data:image/png;base64,…), not {image!r:.80}"
            )
    for name, question in questions.items():
        if not isinstance(name, str):
            raise ConfigError(f"the id of a question is text, not {name!r:.80}")
        if fault := _fault(question):
            raise ConfigError(f"the question {name!r} {fault}")


def _fault(question: Any) -> str:
    if not isinstance(question, Question):
        return f"is no Choice, Score, YesNo or Box but a {type(question).__name__}"
    if question.instructions in (None, ""):
        return "has no instructions: write the whole question into them"
    if isinstance(question, Choice):
        return _choice_fault(question.criteria)
    if isinstance(question, Score):
        levels = question.criteria
        if isinstance(levels, str) or not isinstance(levels, Sequence) or len(levels) < 2:
            return "is a Score: its criteria are a list of 2 or more levels, the lowest first"
    return ""


def _choice_fault(criteria: Any) -> str:
    if isinstance(criteria, str) or not isinstance(criteria, (Mapping, Sequence)):
        return "is a Choice: its criteria are the labels, or a dict of labels and descriptions"
    if not criteria:
        return "is a Choice without options: give at least one label in its criteria"
    labels = list(criteria)
    if wrong := [label for label in labels if not isinstance(label, str)]:
        return f"has an option whose label is no text: {wrong[0]!r:.80}"
    if twice := [label for n, label in enumerate(labels) if label in labels[:n]]:
        return f"has the option {twice[0]!r:.80} twice"
    return ""


def _question(question: Question) -> dict[str, Any]:
    body: dict[str, Any] = {"instructions": question.instructions}
    if isinstance(question, Choice):
        return {"type": "choice", **body, "criteria": question.options()}
    if isinstance(question, Score):
        return {"type": "score", **body, "criteria": list(question.criteria)}
    if isinstance(question, Box):
        return {"type": "box", **body}
    told = {"true": question.yes, "false": question.no}
    known = {name: what for name, what in told.items() if what is not None}
    return {"type": "noul", **body, **({"criteria": known} if known else {})}


def read_decision(body: Any, questions: Questions) -> Decision:
    """Return the answers of a decision model.

    Args:
        body: the decoded answer.
        questions: those of the request.

    Raises:
        ProtocolError: an answer is missing, or is not one to its question.
    """
    answers = body.get("answers") if isinstance(body, dict) else None
    if not isinstance(answers, dict):
        raise ProtocolError(f"the answer has no object 'answers': {body!r:.200}")
    found: dict[str, Answer] = {}
    for name, question in questions.items():
        try:
            found[name] = _answer(question, answers.get(name))
        except (TypeError, ValueError, KeyError) as error:
            raise ProtocolError(
                f"the answer to the question {name!r} is none to a {type(question).__name__} "
                f"({error}): {answers.get(name)!r:.200}"
            ) from None
    model = body.get("model")
    return Decision(
        found, "decision model", model if isinstance(model, str) else "", _usage(body.get("usage"))
    )


def _answer(question: Question, answer: Any) -> Answer:
    if not isinstance(answer, dict):
        raise TypeError("there is no object")
    if isinstance(question, YesNo):
        return YesNoAnswer(_share(answer["noul"]))
    if isinstance(question, Box):
        box, confidence = answer["box"], answer.get("confidence")
        edges = {name: _number(box[name]) for name in ("top", "bottom", "left", "right")}
        return BoxAnswer(**edges, confidence=None if confidence is None else _share(confidence))
    labels = list(question.options())
    told = answer["probabilities"]
    probabilities = [_share(told[label]) for label in labels]
    if len(told) != len(labels) or abs(sum(probabilities) - 1) > _SLACK:
        raise ValueError("the probabilities are not those of the options")
    confidence = _share(answer["confidence"])
    if isinstance(question, Score):
        score = _number(answer["score"])
        if not -_SLACK <= score <= len(labels) - 1 + _SLACK:
            raise ValueError(f"the score {score} is not on the scale")
        return ScoreAnswer(score, tuple(probabilities), confidence)
    if answer["choice"] not in labels:
        raise ValueError("the choice is none of the options")
    shares = dict(zip(labels, probabilities, strict=True))
    return ChoiceAnswer(answer["choice"], shares, confidence)


def _number(value: Any) -> float:
    if type(value) not in _NUMBERS or not math.isfinite(value):
        raise TypeError(f"{value!r:.40} is no finite number")
    return float(value)


def _share(value: Any) -> float:
    number = _number(value)
    if not -_SLACK <= number <= 1 + _SLACK:
        raise ValueError(f"{number} is not between 0 and 1")
    return min(1.0, max(0.0, number))


def _usage(told: Any) -> Usage | None:
    counts = told if isinstance(told, dict) else {}
    read, written = counts.get("input_tokens"), counts.get("output_tokens")
    if type(read) is not int or type(written) is not int or min(read, written) < 0:
        return None
    return Usage(read, written)
