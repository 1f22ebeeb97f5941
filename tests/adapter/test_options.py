"""The flat options of the adapters are those of the core, with the core's defaults."""

from __future__ import annotations

import pickle
from dataclasses import MISSING, fields
from typing import Any

import pytest
from pydantic import ValidationError

from rocm_core import GenerateConfig, LoadConfig, RemoteConfig
from rocm_core.adapter import GenerationOptions
from tests.support.models.reciter import RECITER

# Set by the kind of adapter, not by its user; variables may be secret, and frameworks trace.
_OF_THE_KIND = {"embeddings", "pooling", "rerank", "model_name", "environment"}
# Frameworks send batches all at once: nothing of them is turned away.
_QUEUE = {"max_queue", "queue_timeout"}
# json_schema comes with structured output; extra is every other keyword of a call.
_OF_THE_CALL = {"json_schema", "extra"}


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
    assert _plain(adapter_default(field.name)) == _plain(default_of(field))


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
