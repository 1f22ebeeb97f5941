"""Histories on the chat templates of published models: all of a conversation reaches the model, or
it is refused in our words. Which templates those are is said in ``tests/README.md``.

The engines render with the same code of llama.cpp, which analyzes some templates anew in each
request; the binary gets the requests with tools alone. ``python -m tests.histories`` runs it all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from rocm_core import Chat, GenerateConfig, TextModel, load_model
from rocm_core.config import Engine
from rocm_core.errors import ConfigError
from tests.support.histories import (
    CALL,
    CASES,
    HISTORY,
    RESULT,
    SYSTEM,
    TOOLS,
    USER,
    calling,
    outcome,
    render,
    result,
    text,
)
from tests.support.models.reciter import RECITER
from tests.support.templates import template_names, template_text

NAMES = template_names()
HERE = pytest.mark.skipif(not NAMES, reason="no chat templates here: see tests/README.md")
# Templates without a word for calls. That they are refused is right; each other one shows them.
WITHOUT_CALLS = {"microsoft-Phi-3.5-mini-instruct"}
# Those that refuse, or drop, the result of a tool whose call is not there.
WITHOUT_ORPHANS = WITHOUT_CALLS | {
    *("Apertus-8B-Instruct", "Kimi-K3", "MiniMax-M2", "MiniMax-M3", "openai-gpt-oss-120b")
}
# llama-server refuses every answer that follows a result at the end.
UNANSWERABLE = {"deepseek-ai-DeepSeek-V3.2"}
# A template may show such a case, and only a part of another of its kind.
MOVED = ("late system", "developer", "text beside a call")


@pytest.fixture(scope="module", params=NAMES or ["none"])
def name(request: pytest.FixtureRequest) -> str:
    """A template; all tests on one server of it run one after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def published(engine: Engine, name: str) -> Iterator[TextModel]:
    """A model with that template."""
    with load_model(RECITER, engine=engine, chat_template=template_text(name)) as model:
        yield model


@HERE
def test_a_history_is_shown_whole_or_refused(
    published: TextModel, engine: Engine, name: str
) -> None:
    found = {
        (case, tools): outcome(published, messages, tools, fit=True)
        for case, messages in CASES.items()
        for tools in ((False, True) if engine == "embedded" else (True,))
    }
    assert {key for key, what in found.items() if what in {"dropped", "error"}} == set()
    refused = {case for (case, _), what in found.items() if what == "refused"}
    orphans = {case for case in CASES if case.endswith("result first")}
    of_calls = {case for case in CASES if "call" in case or case.startswith("result in")}
    assert refused == (of_calls if name in WITHOUT_CALLS else set()) | (
        orphans if name in WITHOUT_ORPHANS else set()
    )


@HERE
def test_what_the_template_shows_is_sent_as_it_is(published: TextModel, name: str) -> None:
    for messages in CASES.values():
        if any(isinstance(m["content"], list) for m in messages):
            continue  # a text in a list of one, or printed as JSON, is sent as the text
        if outcome(published, messages, tools=False, fit=False) == "shown":
            sent = published.template.fit(messages)
            if name in UNANSWERABLE and messages and messages[-1]["role"] == "tool":
                assert sent.pop() == text("user", "")
            assert sent == messages or messages in (CASES[kind] for kind in MOVED)


# The reciter's words are no answers in the formats of two templates.
@pytest.mark.parametrize(
    "name",
    sorted({*NAMES} - {"openai-gpt-oss-120b", "meetkai-functionary-medium-v3.2"} - WITHOUT_CALLS)
    or ["none"],
    indirect=True,
)
@HERE
def test_a_result_is_answered(published: TextModel) -> None:
    for thinking in (True, False):
        fields = {"chat_template_kwargs": {"enable_thinking": thinking}}
        chat = Chat([USER, CALL, RESULT], GenerateConfig(max_tokens=20), fields, fit_template=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert "".join(event.text + event.reasoning for event in published.events(chat))


@HERE
def test_any_piece_of_a_history_can_be_counted(
    published: TextModel, engine: Engine, name: str
) -> None:
    whole = len(HISTORY)
    pieces = [HISTORY[:end] for end in range(1, whole + 1)]
    if engine == "embedded":
        pieces += [
            [*head, *HISTORY[begin:]] for begin in range(1, whole) for head in ([], [SYSTEM])
        ]
    for piece in pieces:
        of_calls = any("tool_calls" in m or m["role"] == "tool" for m in piece)
        if of_calls and name in WITHOUT_CALLS:
            with pytest.raises(ConfigError, match="no place for"):
                published.count_tokens(piece, fit_template=True)
        else:
            assert published.count_tokens(piece, fit_template=True, tools=TOOLS) > 0


def on(engine: Engine, name: str) -> TextModel:
    if name not in NAMES:
        pytest.skip("no chat templates here: see tests/README.md")
    return load_model(RECITER, engine=engine, chat_template=template_text(name))


@pytest.mark.parametrize(
    "name", ["mistralai-Mistral-Nemo-Instruct-2407", "Mistral-Small-3.2-24B-Instruct-2506"]
)
def test_ids_of_calls_are_those_of_their_results_in_every_turn(engine: Engine, name: str) -> None:
    with on(engine, name) as model:
        first = model.template.fit([USER, CALL, RESULT])
        later = model.template.fit([USER, CALL, RESULT, calling("b"), result("b")])
        assert later[: len(first)] == first
        ids = [m["tool_calls"][0]["id"] for m in later if m.get("tool_calls")]
        assert [m["tool_call_id"] for m in later if m["role"] == "tool"] == ids
        assert len(set(ids)) == 2
        assert all(len(id_) == 9 and id_.isalnum() for id_ in ids)
        short = [USER, calling("a", ids="abcdefgh"), result("a", ids="abcdefgh")]
        assert model.template.fit(short) == short


@pytest.mark.parametrize("name", ["openai-gpt-oss-120b", "GigaChat3-10B-A1.8B"])
def test_each_of_two_calls_stands_before_its_result(engine: Engine, name: str) -> None:
    with on(engine, name) as model:
        parallel = [USER, calling("a", "b"), RESULT, result("b")]
        prompt = render(model, model.template.fit(parallel))
        places = [prompt.find(text) for text in ("ARGa", "RESULTa", "ARGb", "RESULTb")]
        assert places == sorted(places)
        assert min(places) > 0


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("LFM2-8B-A1B", '<|tool_call_start|>[get_a(key="ARGa")]<|tool_call_end|>'),
        ("LFM2.5-Instruct", '<|tool_call_start|>[get_a(key="ARGa")]<|tool_call_end|>'),
        (
            "ibm-granite-granite-3.3-2B-Instruct",
            '<|tool_call|>[{"name": "get_a", "arguments": {"key": "ARGa"}}]',
        ),
    ],
)
def test_a_dropped_call_is_written_as_the_model_writes_it(
    engine: Engine, name: str, written: str
) -> None:
    with on(engine, name) as model:
        sent = model.template.fit([USER, CALL, RESULT], tools=True)
        assert sent[1] == {"role": "assistant", "content": written}
        assert written in render(model, sent, tools=True)


def test_a_template_without_calls_is_named_with_the_way_out(engine: Engine) -> None:
    with on(engine, "microsoft-Phi-3.5-mini-instruct") as model:
        chat = Chat([USER, CALL, RESULT], GenerateConfig(max_tokens=1), fit_template=True)
        with pytest.raises(ConfigError, match="no place for results of tools.*chat_template="):
            list(model.events(chat))
        with pytest.raises(ConfigError, match="no place for results of tools"):
            model.count_tokens([USER, CALL], fit_template=True)
