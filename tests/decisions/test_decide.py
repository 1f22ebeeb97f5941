"""Decisions on the real engines: of a decision model, and of any other by one token."""

from __future__ import annotations

import asyncio

import pytest

from rocm_core import (
    Box,
    Choice,
    ChoiceAnswer,
    Decision,
    Score,
    ScoreAnswer,
    TextModel,
    YesNo,
    YesNoAnswer,
)
from rocm_core.decisions import Question
from rocm_core.errors import ConfigError, ContextOverflow, InvalidRequest, NotSupported
from tests.support.models.decider import DECIDER, probabilities

STATE = "I was charged twice."
QUESTIONS: dict[str, Question] = {
    "route": Choice("Which team?", {"billing": "money", "shipping": None, "technical": {"a": 1}}),
    "angry": YesNo("Is the customer angry?", yes="shouts"),
    "urgency": Score("How urgent is it?", ["can wait", "today", "now"]),
}
PIXEL = "data:image/png;base64,AAAA"


def check_answers(decision: Decision) -> None:
    """The labels' scores are the same in both models, whatever the prompt says."""
    three, two = probabilities(3), probabilities(2)
    assert list(decision.answers) == list(QUESTIONS)
    route, angry, urgency = decision.answers.values()
    assert isinstance(route, ChoiceAnswer)
    assert route.choice == "billing"
    assert list(route.probabilities) == ["billing", "shipping", "technical"]
    assert list(route.probabilities.values()) == pytest.approx(three, abs=2e-3)
    assert route.confidence == pytest.approx((three[0] - 1 / 3) / (2 / 3), abs=3e-3)
    assert isinstance(angry, YesNoAnswer)
    assert angry.probability == pytest.approx(two[0], abs=2e-3)
    assert isinstance(urgency, ScoreAnswer)
    assert urgency.probabilities == pytest.approx(three, abs=2e-3)
    assert urgency.score == pytest.approx(three[1] + 2 * three[2], abs=3e-3)
    assert urgency.share == pytest.approx(urgency.score / 2)
    assert urgency.confidence == 0.0
    assert decision.choices == {"route": route}
    assert decision.scores == {"urgency": urgency}
    assert decision.yes_nos == {"angry": angry}


def test_a_decision_model_answers_every_kind_of_question(decider: TextModel) -> None:
    decision = decider.decide(STATE, QUESTIONS)
    check_answers(decision)
    assert decision.origin == "decision model"
    assert decision.model == "decider"
    assert decision.usage is not None
    assert decision.usage.prompt_tokens > 50
    assert decision.usage.completion_tokens == 0


def test_any_other_model_answers_by_one_token_per_question(undecided: TextModel) -> None:
    decision = undecided.decide(STATE, QUESTIONS)
    check_answers(decision)
    assert decision.origin == "constrained token"
    assert decision.usage is not None
    assert decision.usage.completion_tokens == len(QUESTIONS)


def test_the_same_in_asyncio(decider: TextModel, undecided: TextModel) -> None:
    check_answers(asyncio.run(decider.adecide(STATE, QUESTIONS)))
    check_answers(asyncio.run(undecided.adecide(STATE, QUESTIONS)))


def test_the_endpoint_itself(decider: TextModel) -> None:
    decider.load()
    check_answers(decider.connection.client.decide(STATE, QUESTIONS))
    check_answers(asyncio.run(decider.connection.aclient.decide(STATE, QUESTIONS)))


def test_the_bundled_model_decides(trained: TextModel) -> None:
    """Its template, its tokenizer, and labels that it might not say by itself."""
    decision = trained.decide({"text": STATE}, {"route": Choice("Which team?", ["a", "b"])})
    assert sum(decision.choices["route"].probabilities.values()) == pytest.approx(1)
    assert decision.origin == "constrained token"


def test_a_state_is_any_json(decider: TextModel, undecided: TextModel) -> None:
    states = ["text", {"tool": {"name": "x", "args": [1, 2.5, None, True]}}, [{"role": "user"}]]
    for model in (decider, undecided):
        for state in states:
            check_answers(model.decide(state, QUESTIONS))


def test_only_a_decision_model_if_that_is_wanted(decider: TextModel, undecided: TextModel) -> None:
    check_answers(decider.decide(STATE, QUESTIONS, calibrated=True))
    for _ in range(2):
        with pytest.raises(NotSupported, match=r"decision model.*\.decision\.type"):
            undecided.decide(STATE, QUESTIONS, calibrated=True)
    assert undecided.decide(STATE, QUESTIONS).origin == "constrained token"


def test_a_box_says_what_can_answer_it(decider: TextModel, undecided: TextModel) -> None:
    with pytest.raises(InvalidRequest, match="This build answers no other questions"):
        decider.decide(STATE, {"where": Box("the button")})
    with pytest.raises(ConfigError, match="load a decision model that locates"):
        undecided.decide(STATE, {"where": Box("the button")})


def test_images_say_what_can_see_them(decider: TextModel, undecided: TextModel) -> None:
    with pytest.raises(NotSupported, match="with its projector"):
        decider.decide(STATE, QUESTIONS, images=[PIXEL])
    for _ in range(2):
        with pytest.raises(ConfigError, match="a decision model that sees"):
            undecided.decide(STATE, QUESTIONS, images=[PIXEL])


def test_more_options_than_labels(decider: TextModel, undecided: TextModel) -> None:
    many = {"c": Choice("Which?", [f"option {n}" for n in range(60)])}
    with pytest.raises(InvalidRequest, match="at most 52"):
        decider.decide(STATE, many)
    # The vocabulary of the test model has single bytes only, and so 26 labels.
    with pytest.raises(ConfigError, match="60 options.*26 labels"):
        undecided.decide(STATE, many)


def test_a_state_that_is_too_long(decider: TextModel, undecided: TextModel) -> None:
    for model in (decider, undecided):
        with pytest.raises(ContextOverflow) as caught:
            model.decide("word " * 3000, QUESTIONS)
        assert caught.value.n_ctx == 8192


def test_a_chat_with_a_decision_model_says_so(decider: TextModel) -> None:
    for _ in range(2):
        with pytest.raises(NotSupported, match="decides and does not chat.*load a chat model"):
            list(decider.chat([{"role": "user", "content": "Hi"}]))

    async def chat() -> None:
        with pytest.raises(NotSupported, match="decides and does not chat"):
            async for _ in decider.achat([{"role": "user", "content": "Hi"}]):
                pass

    asyncio.run(chat())


def test_the_model_says_what_it_is(decider: TextModel, undecided: TextModel) -> None:
    assert decider.model_type == "llama/openjev"
    assert decider.decision_type == "openjev"
    assert decider.info.decision_type == "openjev"
    assert decider.info.architecture == "llama"
    assert undecided.model_type == "llama"
    assert undecided.info.decision_type is None


def test_preflight_asks_a_question(decider: TextModel) -> None:
    checks = {check.name: check for check in decider.preflight(dry_run=True)}
    assert {check.status for check in checks.values()} == {"ok", "skipped"}
    assert "decision model (openjev)" in checks["model_file"].detail
    assert "no chats" in checks["chat_template"].detail
    assert checks["dry_run"].detail == "one decision from POST /v1/systemone"
    assert DECIDER in checks["model_file"].detail
