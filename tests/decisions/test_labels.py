"""What a chat model is asked for a decision, and where the answer is read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rocm_core import Choice, Score, TextModel, YesNo, load_model
from rocm_core.config import Engine
from rocm_core.decisions import ScoreAnswer, YesNoAnswer, labels
from rocm_core.decisions.answers import answer_of
from tests.support.models.decider import UNDECIDED, probabilities
from tests.support.models.reciter import CHAT_TEMPLATE
from tests.support.templates import template_names, template_text

NAMES = template_names()
LABELS = ["A", "B", "C"]


def test_question_options_and_state() -> None:
    question = Choice("Which team?", {"billing": "money", "sales": None, "other": {"x": 1}})
    assert labels.texts_of({"n": 1}, {"q": question}, LABELS) == {
        "q": "Question: Which team?\nA. billing: money\nB. sales\n"
        'C. other: {"x": 1}\n'
        "Answer with the letter of one option and nothing else.\n\n"
        'State:\n{"n": 1}'
    }


def test_levels_and_yes_and_no() -> None:
    texts = labels.texts_of("s", {"a": Score("How?", ["low", "high"]), "b": YesNo("Is it?")}, "AB")
    assert "A. 0: low\nB. 1: high\n" in texts["a"]
    assert "A. yes\nB. no\n" in texts["b"]


def test_several_questions_about_a_long_state_share_its_beginning() -> None:
    questions = {name: YesNo(f"Is it {name}?") for name in "abc"}
    long = labels.texts_of("word " * 200, questions, LABELS)
    assert all(text.startswith("State:\nword") for text in long.values())
    short = labels.texts_of("word", questions, LABELS)
    assert all(text.startswith("Question:") for text in short.values())


def test_every_form_of_a_label_that_is_one_token() -> None:
    texts = labels.label_texts(2)
    assert len(texts) == 1 + 3 * 26
    # "A" alone, " A" as another token, "\nA" as the newline and a third one; "B" in two tokens.
    ids = [[13], [65], [165], [13, 265], [66, 1], [166, 1], [13, 66, 1], *([[1, 2, 3]] * 72)]
    assert labels.read_labels(texts, ids) == {"A": (65, 165, 265)}
    assert len(labels.label_texts(27)) == 1 + 3 * (26 + 26 * 26)


def test_answers_of_probabilities() -> None:
    found = answer_of(Score("How?", ["a", "b", "c"]), [0.0, 0.1, 0.9])
    assert isinstance(found, ScoreAnswer)
    assert found.score == pytest.approx(1.9)
    assert found.confidence == pytest.approx(1 - 0.1 / (2 / 3))
    assert answer_of(YesNo("Is it?"), [0.3, 0.7]) == YesNoAnswer(0.3)


# -- templates on the real engines -------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    ["assistant\\n", "assistant\\n<think>\\n", "assistant<|channel|>final<|message|>"],
)
def test_thoughts_that_the_template_opens_are_closed(engine: Engine, end: str) -> None:
    template = CHAT_TEMPLATE.replace("<|im_start|>assistant\\n", f"<|im_start|>{end}")
    with load_model(UNDECIDED, engine=engine, chat_template=template) as model:
        found = model.decide("x", {"c": Choice("Which?", LABELS)}).choices["c"]
        assert list(found.probabilities.values()) == pytest.approx(probabilities(3), abs=2e-3)
        before, after = frame_of(model)
        assert before.endswith("<|im_start|>user\n")
        assert after.endswith("</think>" if "think" in end else end.replace("\\n", "\n"))


def frame_of(model: TextModel) -> tuple[str, str]:
    by_token = model._by_token
    assert by_token is not None
    assert by_token._frame is not None
    return by_token._frame


def test_a_template_that_changes_with_the_text_renders_every_prompt(engine: Engine) -> None:
    template = CHAT_TEMPLATE.replace("{{- message.content }}", "{{- message.content | upper }}")
    assert "upper" in template
    with load_model(UNDECIDED, engine=engine, chat_template=template) as model:
        assert model.decide("x", {"c": Choice("Which?", LABELS)}).choices["c"].choice == "A"
        assert model._by_token is not None
        assert model._by_token._frame is None


@pytest.fixture(params=NAMES or ["none"])
def published(request: pytest.FixtureRequest) -> Iterator[TextModel]:
    if not NAMES:
        pytest.skip("no chat templates here: see tests/README.md")
    text = template_text(request.param)
    with load_model(UNDECIDED, engine="embedded", chat_template=text) as model:
        yield model


@pytest.mark.engine
@pytest.mark.slow
def test_every_published_template_leads_to_a_label(published: TextModel) -> None:
    found = published.decide("STATE", {"c": Choice("Which?", LABELS)})
    assert found.choices["c"].choice == "A"
    before, after = frame_of(published)
    assert "probe" not in json.dumps([before, after])
    opened = max(after.rfind("<think>"), after.rfind("[THINK]"))
    assert opened < 0 or "/" in after[opened + 1 :]
