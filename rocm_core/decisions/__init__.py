"""Decisions: typed questions about a state, and answers with probabilities. Pure.

    Choice    one of several options                    → ChoiceAnswer
    Score     a level of an ordered scale               → ScoreAnswer
    YesNo     yes or no (``noul`` on the wire)          → YesNoAnswer
    Box       where something is in an image            → BoxAnswer

``questions`` and ``answers`` are the data, ``wire`` the form of ``POST /v1/systemone``, and
``labels`` what a model is asked that is made for chats. Adapters import these names; the modules
are private to ``rocm_core``.
"""

from rocm_core.decisions.answers import (
    Answer,
    BoxAnswer,
    ChoiceAnswer,
    Decision,
    Origin,
    ScoreAnswer,
    YesNoAnswer,
)
from rocm_core.decisions.questions import Box, Choice, Question, Score, YesNo

__all__ = [
    "Answer",
    "Box",
    "BoxAnswer",
    "Choice",
    "ChoiceAnswer",
    "Decision",
    "Origin",
    "Question",
    "Score",
    "ScoreAnswer",
    "YesNo",
    "YesNoAnswer",
]
