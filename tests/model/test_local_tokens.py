"""Tokens in this process: only after the server was found to answer the same."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rocm_core import TextModel, load_model
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, ServerStopped
from rocm_core.gguf.vocabulary import read_vocabulary
from rocm_core.tokenizer import Tokenizer
from tests.support.models.vocabularies import servable, small
from tests.support.programs import wait_for
from tests.support.servers.fake_server import FakeServer, answer

TEXT = "The quick brown fox's <|im_end|> 12345 日本の町"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    return servable(small("gpt2/llama-bpe", folder), folder / "model.gguf")


@pytest.fixture
def fresh(file: Path, engine: Engine) -> Iterator[TextModel]:
    """A model whose tokenizer is not built yet."""
    with load_model(file, engine=engine) as model:
        yield model


def here(model: TextModel) -> None:
    """Ask until the tokenizer of this process answers."""
    for _ in range(3):
        model.tokenize("a")
    wait_for(lambda: model.tokenizes_here)


def test_after_some_texts_this_process_answers(
    fresh: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fresh.tokenize(TEXT)
    assert not fresh.tokenizes_here
    here(fresh)
    whole = fresh.tokenize(TEXT, add_special=True, local=False)
    monkeypatch.setattr(fresh, "_ask", lambda *_: pytest.fail("the server was asked"))
    assert fresh.tokenize(TEXT) == asked
    assert fresh.tokenize(TEXT, add_special=True) == whole != asked
    assert fresh.tokenize_batch([TEXT, "", TEXT]) == [asked, [], asked]


def test_local_builds_it_at_once(fresh: TextModel) -> None:
    assert fresh.tokenize(TEXT, local=True) == fresh.tokenize(TEXT, local=False)
    assert fresh.tokenizes_here


def test_one_text_builds_nothing(fresh: TextModel) -> None:
    fresh.tokenize(TEXT)
    assert fresh.tokenize(TEXT, local=False)
    names = [thread.name for thread in threading.enumerate()]
    assert "rocm-tokenizer" not in names
    assert not fresh.tokenizes_here


def test_models_of_one_file_share_it(file: Path, fresh: TextModel) -> None:
    here(fresh)
    with load_model(file, engine=fresh.connection.config.engine) as other:
        other.tokenize("a", local=True)
        assert other._local_tokens._tokenizer is fresh._local_tokens._tokenizer


def test_a_closed_model_does_not_answer(fresh: TextModel) -> None:
    here(fresh)
    fresh.close()
    with pytest.raises(ServerStopped):
        fresh.tokenize(TEXT)


def test_what_the_server_refuses_is_refused_here(fresh: TextModel) -> None:
    here(fresh)
    for text in ("x" * 10_001, "\ud800"):
        messages = []
        for local in (None, False):
            with pytest.raises(ConfigError) as caught:
                fresh.tokenize(text, local=local)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_threads_may_use_it_at_once(fresh: TextModel) -> None:
    here(fresh)
    texts = [f"{TEXT} {number} unbelievable{number}" for number in range(200)]
    expected = fresh.tokenize_batch(texts, local=False)
    found: list[list[list[int]]] = []
    threads = [
        threading.Thread(target=lambda: found.append([fresh.tokenize(text) for text in texts]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 6


# -- where the server goes on -------------------------------------------------------------------


def test_a_server_that_answers_otherwise_goes_on(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    file = servable(small("gpt2/llama-bpe", tmp_path), tmp_path / "model.gguf")
    other = servable(small("gpt2/gpt-2", tmp_path), tmp_path / "other.gguf")
    caplog.set_level(logging.DEBUG, "rocm_core.model")
    with load_model(file, engine=engine) as model:
        model.load()
        other.replace(file)  # the server has the one before
        with pytest.raises(ConfigError, match="cannot be tokenized in this process: the server"):
            model.tokenize(TEXT, local=True)
        for _ in range(6):
            ids = model.tokenize("I'm sure they're here")
        assert ids != Tokenizer(read_vocabulary(file))("I'm sure they're here")
        assert not model.tokenizes_here
    assert [r.levelname for r in caplog.records if "server tokenizes" in r.message] == ["DEBUG"]


def test_an_unknown_kind_is_left_to_the_server(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    file = servable(small("gpt2/chameleon", tmp_path), tmp_path / "model.gguf")
    caplog.set_level(logging.DEBUG, "rocm_core.model")
    with load_model(file, engine=engine) as model:
        for _ in range(4):
            assert model.tokenize("hello")
        wait_for(lambda: "pre='chameleon' is not known" in caplog.text)
        assert not model.tokenizes_here
        with pytest.raises(ConfigError, match="Leave local out"):
            model.tokenize("hello", local=True)


def test_a_server_elsewhere_is_asked() -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        server.script("/tokenize", answer(b'{"tokens":[1,2,3]}'))
        with load_model(server.url) as model:
            assert [model.tokenize("abc") for _ in range(5)] == [[1, 2, 3]] * 5
            with pytest.raises(ConfigError, match="not on this machine"):
                model.tokenize("abc", local=True)
