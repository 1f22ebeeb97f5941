"""What must hold of the bundled model, whatever it was trained to say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rocm_core import GenerateConfig, TextModel, load_model, read_gguf
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path

QUESTIONS = ["Hello", "What are you?", "你好", "2 + 2?", "🙂"]
LONGEST = 400


@pytest.fixture(scope="module")
def demo(engine: Engine) -> Iterator[TextModel]:
    with load_model("demo", engine=engine) as model:
        model.load()
        yield model


def test_it_is_small() -> None:
    assert 0 < demo_model_path().stat().st_size < 4_000_000


def test_its_header_says_what_it_is() -> None:
    info = read_gguf(demo_model_path())
    assert info.architecture == "llama"
    assert info.missing == 0
    assert "tools" in (info.chat_template or "")
    for key in ("name", "author", "license", "description"):
        assert info.metadata[f"general.{key}"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_says_something_in_unicode_and_ends_its_turn(demo: TextModel, question: str) -> None:
    config = GenerateConfig(max_tokens=LONGEST)
    events = list(demo.chat_events([{"role": "user", "content": question}], config))
    assert "".join(event.text for event in events).strip()
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(e.text + e.reasoning for e in events)
    assert [event.finish_reason for event in events if event.finish_reason] == ["stop"]
    [usage] = [event.usage for event in events if event.usage]
    assert usage.prompt_tokens > 0
    assert 0 < usage.completion_tokens < LONGEST


def test_the_same_question_gets_the_same_answer(demo: TextModel) -> None:
    def answer() -> str:
        return "".join(t.text for t in demo.chat([{"role": "user", "content": "Hello"}]))

    assert answer() == answer()
