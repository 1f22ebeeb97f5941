"""The flat options of the adapters are those of the core, with the core's defaults."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from dataclasses import MISSING, fields
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from pydantic import ValidationError

import langchain_rocm
import llama_index_rocm
from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM as LlamaIndexLLM
from rocm_core import GenerateConfig, LoadConfig, RemoteConfig
from rocm_core.adapter import GenerationOptions
from rocm_core.errors import AuthenticationError, ServerUnreachable
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, answer

# Set by the kind of adapter, not by its user.
_OF_THE_KIND = {"embeddings", "pooling", "rerank"}
# Frameworks send batches all at once: nothing of them is turned away.
_QUEUE = {"max_queue", "queue_timeout"}
# json_schema comes with structured output; extra is every other keyword of a call.
_OF_THE_CALL = {"json_schema", "extra", "n"}


def default_of(field: Any) -> Any:
    return field.default if field.default is not MISSING else field.default_factory()


def adapter_default(name: str) -> Any:
    return GenerationOptions.model_fields[name].get_default(call_default_factory=True)


@pytest.mark.parametrize(
    "field",
    [f for f in fields(LoadConfig) if f.name not in _OF_THE_KIND | _QUEUE],
    ids=lambda f: f.name,
)
def test_load_options_have_the_same_names_and_defaults(field: Any) -> None:
    # The values of variables may be secret, so the field holds no plain mapping.
    default = None if field.name == "environment" else _plain(default_of(field))
    assert _plain(adapter_default(field.name)) == default


def test_the_queue_of_an_adapter_turns_nobody_away() -> None:
    assert [adapter_default(name) for name in sorted(_QUEUE)] == [None, None]


@pytest.mark.parametrize("field", fields(RemoteConfig), ids=lambda f: f.name)
def test_options_of_a_running_server_have_the_same_names_and_defaults(field: Any) -> None:
    assert (adapter_default(field.name) or None) == (default_of(field) or None)


@pytest.mark.parametrize(
    "field", [f for f in fields(GenerateConfig) if f.name not in _OF_THE_CALL], ids=lambda f: f.name
)
def test_generation_options_have_the_same_names_and_are_unset(field: Any) -> None:
    assert not _plain(adapter_default(field.name))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def test_options_reach_the_two_configurations() -> None:
    options = GenerationOptions(model="demo", context_len=512, temperature=0.0, stop=["x"])
    assert options.load_config().context_len == 512
    config, rest = options.generate_config({"seed": 0, "tools": []})
    assert (config.temperature, config.seed, config.stop) == (0.0, 0, ("x",))
    assert config.max_tokens is None
    assert rest == {"tools": []}


def test_a_model_or_a_server_is_needed() -> None:
    with pytest.raises(ValidationError, match="give model="):
        GenerationOptions()
    assert GenerationOptions(base_url="http://host", model="m").load_config().model_name == "m"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "Did you mean 'temperature'"),
        ({"context_len": -1}, "context_len must be 0 or more"),
        ({"engine": "turbo"}, "embedded"),
        ({"base_url": "http://me:secret@host"}, "no password in the URL"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GenerationOptions(model="demo", **options)


def test_a_key_is_neither_shown_nor_copied_into_errors() -> None:
    secret = "sk-very-secret"
    options = GenerationOptions(base_url="http://host", api_key=secret)  # type: ignore[arg-type]
    assert secret not in repr(options) + str(options.model_dump())
    with pytest.raises(ValidationError) as caught:
        GenerationOptions(base_url="http://host", api_key=secret, nope=1)  # type: ignore[arg-type, call-arg]
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "given", [{"A": "1", "B": None}, (("A", "1"), ("B", None)), '{"A": "1", "B": null}']
)
def test_variables_reach_the_server_and_are_not_shown(given: Any) -> None:
    options = GenerationOptions(model="demo", environment=given)
    assert options.load_config().environment == (("A", "1"), ("B", None))
    assert "'1'" not in repr(options) + str(options.model_dump())
    assert options.model_copy().load_config() == options.load_config()


def test_variables_of_the_settings_reach_the_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ROCM_ENVIRONMENT", '{"A": "1"}')
    assert GenerationOptions(model="demo").load_config().environment == (("A", "1"),)


def test_the_name_of_a_model_of_our_own() -> None:
    options = GenerationOptions(model="demo", model_name="helper")
    assert options.load_config().model_name == "helper"
    assert GenerationOptions(base_url="http://h", model_name="m").loaded_name() == "m"
    with pytest.raises(ValidationError, match="both name the model"):
        GenerationOptions(base_url="http://h", model="m", model_name="other")


@pytest.mark.engine
def test_variables_that_a_pickle_left_behind_are_said() -> None:
    options = GenerationOptions(model="demo", environment={"TOKEN": "s3cret"})  # type: ignore[dict-item]
    pickled = pickle.dumps(options)
    assert b"s3cret" not in pickled
    copy = pickle.loads(pickled)
    with pytest.warns(UserWarning, match="environment= of this GenerationOptions stayed behind"):
        assert copy.text_model
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert options.text_model
    options.close()
    copy.close()


@pytest.mark.parametrize("kind", [ChatRocm, LlamaIndexLLM])
def test_a_pickled_copy_that_is_refused_says_that_it_lost_its_key(kind: Any) -> None:
    with FakeServer() as fake:
        fake.script("/props", answer("error_401.b11434", 401))
        chat = kind(base_url=fake.url, api_key="sk-1", headers={"X-Proxy": "s"})
        there = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(chat))))
        ask = "invoke" if kind is ChatRocm else "complete"
        for _ in range(2):
            with pytest.raises(AuthenticationError) as caught:
                getattr(there, ask)("Hello")
            told = str(caught.value)
            assert told.count(f"{kind.__name__} was pickled, and a pickle carries no api_key") == 1
            assert "set LLAMA_ROCM_API_KEY and LLAMA_ROCM_HEADERS where it runs" in told
        with pytest.raises(AuthenticationError) as caught:
            getattr(chat, ask)("Hello")
        assert "pickle" not in str(caught.value)


ADAPTERS: list[Any] = [
    *(ChatRocm, langchain_rocm.RocmLLM, langchain_rocm.RocmEmbeddings, langchain_rocm.RocmRerank),
    *(LlamaIndexLLM, llama_index_rocm.RocmEmbedding, llama_index_rocm.RocmRerank),
    *(llama_index_rocm.RocmSelector, llama_index_rocm.RocmDecisionRerank),
]
# langchain-core 1.7 has no decision models.
if hasattr(langchain_rocm.RocmDecisions, "model_fields"):
    ADAPTERS.append(langchain_rocm.RocmDecisions)


@pytest.mark.parametrize("kind", ADAPTERS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_the_server_is_checked_when_the_instance_is_made_if_that_is_asked(kind: Any) -> None:
    with FakeServer() as fake:
        fake.script("/props", answer("props.b11434"))
        kind(base_url=fake.url)
        assert not fake.requests
        made = kind(base_url=fake.url, validate_model_on_init=True)
        assert fake.requests[0].path == "/props"
        asked = len(fake.requests)
        assert pickle.loads(pickle.dumps(made)).validate_model_on_init
        assert len(fake.requests) == asked, "a pickled copy loads at first use"
        made.close()
    with pytest.raises(ServerUnreachable) as caught:
        kind(base_url="http://127.0.0.1:9", validate_model_on_init=True)
    if kind.__module__.startswith("langchain_rocm"):
        assert isinstance(caught.value, ModelError)


@pytest.mark.engine
def test_a_model_is_loaded_when_the_instance_is_made_if_that_is_asked() -> None:
    chat = ChatRocm(model=RECITER, engine="embedded", validate_model_on_init=True)
    assert chat.text_model.props is not None
    chat.close()


@pytest.mark.engine
def test_a_pickled_copy_opens_a_share_of_its_own() -> None:
    options = GenerationOptions(model=RECITER, engine="embedded")
    assert "Hello!" in "".join(
        e.text for e in options.text_model.completion_events("x", GenerateConfig(max_tokens=2))
    )
    copy = pickle.loads(pickle.dumps(options))
    assert copy.text_model is not options.text_model
    options.close()
    assert "Hello!" in "".join(
        e.text for e in copy.text_model.completion_events("x", GenerateConfig(max_tokens=2))
    )
    copy.close()


def test_an_adapter_says_in_a_line_what_differs_from_the_defaults() -> None:
    assert repr(ChatRocm(model="demo", temperature=0)) == "ChatRocm(model='demo', temperature=0.0)"
    options: Any = {"context_len": "2k", "system_prompt": "Be brief."}
    shown = repr(LlamaIndexLLM(model="demo", **options))
    assert shown.startswith("RocmLLM(model='demo',") and len(shown) < 100
    assert "context_len=2048" in shown and "Be brief." in shown
    secrets: Any = {"api_key": "secret-word", "headers": {"X": "hush"}}
    hidden = ChatRocm(base_url="http://127.0.0.1:9", **secrets)
    for text in (repr(hidden), str(hidden), hidden._repr_html_()):
        assert "secret-word" not in text and "hush" not in text


def test_threads_that_make_the_first_instances_at_once_all_get_one() -> None:
    program = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from langchain_rocm import ChatRocm

sys.setswitchinterval(1e-6)
ready = threading.Barrier(8)

def make(number):
    ready.wait()
    return ChatRocm(base_url="http://127.0.0.1:9", temperature=str(number / 10)).temperature

with ThreadPoolExecutor(8) as pool:
    assert list(pool.map(make, range(8))) == [number / 10 for number in range(8)]
"""
    subprocess.run([sys.executable, "-c", program], check=True)
