"""One bad text among good ones: the error says which, on every verb that takes texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rocm_core import GenerateConfig, TextModel, load_model
from rocm_core.client import calls
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, ContextOverflow, EndpointNotFound, InvalidRequest
from rocm_core.model.inputs.refused_text import longest, naming

HALF = "b\ud83d c"
LONG = "word " * 700


async def test_texts_that_cannot_be_sent(
    embedding_model: TextModel, rerank_model: TextModel, model: TextModel
) -> None:
    with pytest.raises(ConfigError, match=r"texts\[1\], which begins with 'b"):
        embedding_model.embed(["a", HALF])
    with pytest.raises(ConfigError, match=r"texts\[1\], which begins with 'b"):
        await embedding_model.aembed(["a", HALF])
    with pytest.raises(ConfigError, match=r"texts\[1\] is no text but None"):
        embedding_model.embed(["a", None])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="texts is one text"):
        embedding_model.embed("abc")
    with pytest.raises(ConfigError, match=r"documents\[2\], which begins"):
        rerank_model.rerank("a", ["a", "b", HALF])
    with pytest.raises(ConfigError, match=r"documents\[2\], which begins"):
        await rerank_model.arerank("a", ["a", "b", HALF])
    with pytest.raises(ConfigError, match=r"query\[0\], which begins"):
        rerank_model.rerank(HALF, ["a"])
    with pytest.raises(ConfigError, match=r"texts\[1\], which begins"):
        model.tokenize_batch(["a", HALF])


TURN = [{"role": "user", "content": "a"}, {"role": "user", "content": HALF}]
VERBS: dict[str, tuple[Callable[[TextModel], Any], str]] = {
    "generate": (lambda m: list(m.generate(HALF)), "prompt"),
    "stop": (lambda m: list(m.generate("a", stop=["b", HALF])), r"stop\[1\]"),
    "chat": (lambda m: list(m.chat(TURN)), r"messages\[1\]\.content"),
    "infill": (lambda m: list(m.infill_events("a", HALF, GenerateConfig())), "input_suffix"),
    "count_tokens": (lambda m: m.count_tokens(TURN), r"messages\[1\]\.content"),
    "fitted": (lambda m: m.count_tokens(TURN, fit_template=True), r"messages\[\d\]\.content"),
    "tokenize": (lambda m: m.tokenize(HALF), "content"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_part_of_a_request_is_told(model: TextModel, verb: str) -> None:
    ask, where = VERBS[verb]
    with pytest.raises(ConfigError, match=rf"{where}, which begins with '.*half a surrogate pair"):
        ask(model)


async def test_the_text_that_is_too_long(
    embedding_model: TextModel, rerank_model: TextModel
) -> None:
    texts = ["a", "b", LONG, "c"]
    words = r"\[2\], which begins with 'word word .*'…, is refused: a text has \d+ tokens"
    with pytest.raises(ContextOverflow, match=f"texts{words}") as caught:
        embedding_model.embed(texts)
    assert caught.value.n_prompt_tokens and caught.value.n_prompt_tokens > 700
    with pytest.raises(ContextOverflow, match=f"texts{words}"):
        await embedding_model.aembed(texts)
    with pytest.raises(ContextOverflow, match=f"documents{words}"):
        rerank_model.rerank("which?", texts)
    with pytest.raises(ContextOverflow, match=r"texts\[42\], which begins with 'word"):
        embedding_model.embed(texts, first=40)


def test_the_text_that_is_empty(engine: Engine, embedding_model: TextModel) -> None:
    """Models whose tokenizer adds tokens of its own take it, others refuse the whole batch."""
    assert len(embedding_model.embed(["a", "", "b"])) == 3
    with (
        load_model("demo", engine=engine, embeddings=True, pooling="mean") as model,
        pytest.raises(InvalidRequest, match=r"texts\[1\] is empty.*leave it out"),
    ):
        model.embed(["a", "", "b"])


def test_which_of_several_counts_was_refused() -> None:
    assert longest([1, 2000, 1, 700], 702) == 3
    assert longest([1, 2000, 1, 700], None) == 1
    assert longest([600], 500) == 0


def test_a_server_that_cannot_count_leaves_the_error_as_it_was() -> None:
    call = calls.embeddings(["a", LONG])
    error = ContextOverflow("too long", n_prompt_tokens=702)
    steps = naming(call, error)
    next(steps)
    with pytest.raises(StopIteration):
        steps.throw(EndpointNotFound("no /tokenize"))
    assert str(error) == "too long"
