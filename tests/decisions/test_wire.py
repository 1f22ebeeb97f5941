"""What is sent to ``POST /v1/systemone``, what is refused before, and what is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rocm_core import Box, Choice, Score, TextModel, YesNo, load_model
from rocm_core.decisions import Question, wire
from rocm_core.errors import (
    ConfigError,
    ContextOverflow,
    EndpointNotFound,
    NotSupported,
    ProtocolError,
)
from tests.support.models.decider import DECIDER
from tests.support.servers.fake_server import FakeServer, Reply, answer, capture

SYSTEM_ONE = "/v1/systemone"
CHOICE = {"c": Choice("Which?", ["a", "b"])}
ANSWERED = {"type": "choice", "choice": "a", "probabilities": {"a": 0.9, "b": 0.1}}


def answered(body: Any, status: int = 200) -> Reply:
    return answer(json.dumps(body).encode(), status)


def refused(message: str, status: int, type_: str = "") -> Reply:
    return answered({"error": {"code": status, "message": message, "type": type_}}, status)


def test_questions_as_the_server_reads_them() -> None:
    questions: dict[str, Question] = {
        "c": Choice({"q": "Which?"}, {"a": {"x": 1}, "b": None}),
        "l": Choice("Which?", ["a", "b"]),
        "s": Score("How much?", ["low", {"y": 2}]),
        "y": YesNo("Is it?"),
        "n": YesNo("Is it?", no="never"),
        "b": Box("the button"),
    }
    assert wire.request_body(["state"], questions, ["data:image/png;base64,AAAA"]) == {
        "state": ["state"],
        "images": ["data:image/png;base64,AAAA"],
        "questions": {
            "c": {
                "type": "choice",
                "instructions": {"q": "Which?"},
                "criteria": {"a": {"x": 1}, "b": None},
            },
            "l": {"type": "choice", "instructions": "Which?", "criteria": {"a": None, "b": None}},
            "s": {"type": "score", "instructions": "How much?", "criteria": ["low", {"y": 2}]},
            "y": {"type": "noul", "instructions": "Is it?"},
            "n": {"type": "noul", "instructions": "Is it?", "criteria": {"false": "never"}},
            "b": {"type": "box", "instructions": "the button"},
        },
    }


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Choice("Which?", {}), "without options"),
        (Choice("Which?", []), "without options"),
        (Choice("Which?", "ab"), "its criteria are the labels"),
        (Choice("Which?", ["a", "b", "a"]), "option 'a' twice"),
        (Choice("Which?", [1, 2]), "whose label is no text: 1"),  # type: ignore[list-item]
        (Choice("", ["a"]), "has no instructions"),
        (Score("How much?", ["one"]), "2 or more levels"),
        (Score("How much?", "ab"), "2 or more levels"),
        (YesNo(None), "has no instructions"),
        ({"type": "noul", "instructions": "Is it?"}, "no Choice, Score, YesNo or Box but a dict"),
    ],
)
def test_a_question_that_cannot_be_asked(question: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=f"the question 'q' .*{said}"):
        wire.request_body("state", {"q": question})


@pytest.mark.parametrize(
    ("state", "questions", "images", "said"),
    [
        (None, CHOICE, [], "needs a state"),
        ("x", {}, [], "give the questions"),
        ("x", [Choice("Which?", ["a"])], [], "give the questions"),
        ("x", {1: YesNo("Is it?")}, [], "the id of a question is text"),
        ("x", CHOICE, ["http://there/a.png"], "is a data URL"),
    ],
)
def test_a_request_that_cannot_be_sent(
    state: Any, questions: Any, images: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        wire.request_body(state, questions, images)


def test_what_has_no_json_form_names_its_place() -> None:
    with pytest.raises(ConfigError, match=r"state\.a"), load_model("http://127.0.0.1:9") as model:
        model.connection.client.decide({"a": {1, 2}}, CHOICE)
    with (
        pytest.raises(ConfigError, match="questions has 10,001 characters without a break"),
        load_model("http://127.0.0.1:9") as model,
    ):
        model.decide("x", {"c": YesNo("x" * 10_001)})


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (CHOICE["c"], None),
        (CHOICE["c"], ANSWERED),  # no confidence
        (CHOICE["c"], {**ANSWERED, "confidence": 0.8, "choice": "z"}),
        (CHOICE["c"], {**ANSWERED, "confidence": 2}),
        (CHOICE["c"], {**ANSWERED, "confidence": True}),
        (CHOICE["c"], {**ANSWERED, "confidence": 0.8, "probabilities": {"a": 1.0}}),
        (CHOICE["c"], {**ANSWERED, "confidence": 0.8, "probabilities": {"a": 0.1, "b": 0.1}}),
        (CHOICE["c"], {**ANSWERED, "confidence": 0.8, "probabilities": [0.9, 0.1]}),
        (YesNo("Is it?"), {"type": "noul", "noul": -0.5}),
        (YesNo("Is it?"), {"type": "noul", "noul": "yes"}),
        (YesNo("Is it?"), []),
        (
            Score("How much?", ["low", "high"]),
            {"score": 7, "probabilities": {"0": 0.5, "1": 0.5}, "confidence": 0},
        ),
        (Box("where"), {"type": "box", "box": {"top": 0}}),
    ],
)
def test_what_is_no_answer(question: Any, answer: Any) -> None:
    with pytest.raises(ProtocolError, match="the answer to the question 'q'"):
        wire.read_decision({"answers": {"q": answer}}, {"q": question})


def test_a_box_of_a_server_that_locates() -> None:
    told = {"type": "box", "box": {"top": 0.1, "bottom": 0.4, "left": 0, "right": 1}}
    found = wire.read_decision({"answers": {"b": told}}, {"b": Box("where")}).boxes["b"]
    assert (found.top, found.bottom, found.left, found.right) == (0.1, 0.4, 0.0, 1.0)
    assert found.confidence is None


# -- servers -----------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(scripted: FakeServer) -> TextModel:
    return load_model(scripted.url)


def test_a_build_without_the_endpoint(scripted: FakeServer, elsewhere: TextModel) -> None:
    scripted.script(SYSTEM_ONE, refused("File Not Found", 404, "not_found_error"))
    with pytest.raises(EndpointNotFound, match="b11434 or newer"):
        elsewhere.decide("x", CHOICE, calibrated=True)


def test_a_decision_model_on_a_build_without_the_endpoint(scripted: FakeServer) -> None:
    """It is not asked by one token, which is not what its weights were made for."""
    props = json.loads(capture("props.b11434")) | {"model_path": DECIDER}
    scripted.script("/props", answered(props))
    scripted.script(SYSTEM_ONE, refused("File Not Found", 404, "not_found_error"))
    with (
        load_model(scripted.url) as model,
        pytest.raises(EndpointNotFound, match=r"the type openjev\).*b11434 or newer"),
    ):
        model.decide("x", CHOICE)


def test_a_question_that_is_too_long(scripted: FakeServer, elsewhere: TextModel) -> None:
    """Of a model that reads question and options in one batch."""
    said = (
        "the question and its options (3000 tokens) are too large to process. "
        "increase the batch size (current batch size: 2048)"
    )
    scripted.script(SYSTEM_ONE, refused(said, 400, "invalid_request_error"))
    with pytest.raises(ContextOverflow, match="larger ubatch_size") as caught:
        elsewhere.decide("x", CHOICE)
    assert (caught.value.n_prompt_tokens, caught.value.n_ctx) == (3000, 2048)


def ordinary(server: FakeServer) -> None:
    said = "This model is not a decision model"
    server.script(SYSTEM_ONE, refused(said, 501, "not_supported_error"))
    server.script("/apply-template", answered({"prompt": "prompt"}))
    ids = [[10], *([[n // 3 + 65]] for n in range(78))]
    flat: list[int] = []
    for n, one in enumerate(ids):
        flat += [*([n - 1 + 200] if n else [10]), -1] if one else []
    server.script("/tokenize", answered({"tokens": flat}))


@pytest.mark.parametrize(
    "body",
    [
        {"content": "A"},
        {"completion_probabilities": []},
        {"completion_probabilities": [{"id": 1, "top_logprobs": []}]},
        {"completion_probabilities": [{"top_probs": [{"id": 200, "prob": "much"}]}]},
        {"completion_probabilities": [{"top_probs": [{"id": 7, "prob": 1.0}]}]},
    ],
)
def test_a_server_that_tells_no_probabilities(
    scripted: FakeServer, elsewhere: TextModel, body: Any
) -> None:
    ordinary(scripted)
    scripted.script("/completion", answered(body))
    with pytest.raises(ProtocolError, match=r"POST /completion|is no number"):
        elsewhere.decide("x", CHOICE)


def test_the_kind_of_a_model_is_asked_once(scripted: FakeServer, elsewhere: TextModel) -> None:
    ordinary(scripted)
    shares = [{"id": 200, "prob": 0.75}, {"id": 203, "prob": 0.25}]
    told = {"completion_probabilities": [{"top_probs": shares}], "tokens_evaluated": 9}
    scripted.script("/completion", answered(told))
    for _ in range(2):
        found = elsewhere.decide("x", CHOICE).choices["c"]
        assert found.probabilities == {"a": 0.75, "b": 0.25}
        assert found.confidence == 0.5
    paths = [request.path for request in scripted.requests]
    assert paths.count(SYSTEM_ONE) == 1
    assert paths.count("/tokenize") == 1
    assert paths.count("/completion") == 2


def test_a_server_of_the_openai_dialect(scripted: FakeServer) -> None:
    ordinary(scripted)
    with (
        load_model(scripted.url, api="openai") as model,
        pytest.raises(NotSupported, match="llama-server's own /apply-template"),
    ):
        model.decide("x", CHOICE)


DECIDES = {"id": "d", "architecture": {"output_modalities": ["decisions"]}}


def test_a_server_that_lists_a_decision_model(scripted: FakeServer) -> None:
    scripted.script("/v1/models", answered({"data": [DECIDES]}))
    for _ in range(2):  # the second connection does not ask for the models again
        with (
            load_model(scripted.url) as model,
            pytest.raises(NotSupported, match="decides and does not chat"),
        ):
            list(model.chat([{"role": "user", "content": "Hi"}]))


def test_a_model_that_also_writes_is_not_refused(scripted: FakeServer) -> None:
    both = {"id": "d", "architecture": {"output_modalities": ["text", "decisions"]}}
    scripted.script("/v1/models", answered({"data": [both]}))
    with load_model(scripted.url) as model:
        model.load()
        assert model.connection.decides_only is False
