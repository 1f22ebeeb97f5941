"""The tables of other integrations' options are complete, true, and what the errors say."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_rocm import ChatRocm, RocmEmbeddings
from langchain_rocm import RocmLLM as LangChainLLM
from llama_index_rocm import RocmEmbedding, RocmLLM
from rocm_core.adapter import LANGCHAIN
from rocm_core.adapter.rivals.options import OLLAMA_OPTIONS, RIVALS, Rival

RECORDED = json.loads(
    (Path(__file__).parents[1] / "support/adapters/rival_fields.json").read_text(encoding="utf-8")
)["classes"]
# Classes of packages that the development environment has.
INSTALLED = {
    "ChatOllama": "langchain_ollama",
    "ChatOpenAI": "langchain_openai",
    "Ollama": "llama_index.llms.ollama",
    "ollama.Options": "ollama",
}
MODULES = INSTALLED | {name: row["module"] for name, row in RECORDED.items()}


def real_fields(cls: Any) -> set[str]:
    """Names that the constructor takes: fields, their aliases, and further parameters."""
    fields = set(cls.model_fields)
    fields |= {f.alias for f in cls.model_fields.values() if f.alias}
    own_init = cls.__dict__.get("__init__")
    parameters = inspect.signature(own_init).parameters.values() if own_init else ()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return fields | {p.name for p in parameters if p.kind in named and p.name != "self"}


def ours_of(rival: Rival) -> Any:
    return RocmLLM if "llama_index" in rival.ours else ChatRocm


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_every_field_of_the_other_class_has_its_counterpart(rival: Rival) -> None:
    recorded = set(RECORDED.get(rival.name, {"fields": ()})["fields"])
    try:
        module = importlib.import_module(MODULES[rival.name])
        fields = real_fields(getattr(module, rival.name.rpartition(".")[2]))
    except ImportError:
        assert rival.name not in INSTALLED
        fields = recorded
    assert fields, rival.name
    assert not fields - set(rival.fields), "no counterpart"
    assert not set(rival.fields) - fields - recorded, "of no field"
    assert all(found.text for found in rival.fields.values())


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_what_is_recorded_is_of_the_version_that_the_table_names(rival: Rival) -> None:
    if rival.name in RECORDED:
        assert RECORDED[rival.name]["package"] == rival.package
        assert set(RECORDED[rival.name]["fields"]) == set(rival.fields)
    else:
        assert rival.name in INSTALLED


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_a_counterpart_is_an_option_that_our_class_has(rival: Rival) -> None:
    for name, found in rival.fields.items():
        if found.kind == "option":
            assert found.text in ours_of(rival).model_fields, name


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_an_option_of_another_class_is_refused_with_its_counterpart(rival: Rival) -> None:
    ours = ours_of(rival)
    for name, found in rival.fields.items():
        if name in ours.model_fields:
            continue
        with pytest.raises(ValidationError) as caught:
            ours(model="demo", **{name: "x"})
        said = str(caught.value)
        assert f"has no option {name!r}" in said
        if rival is not OLLAMA_OPTIONS and _first(rival, name):
            assert found.reason in said


def _first(rival: Rival, name: str) -> bool:
    """Whether no table before this one, of the same framework, has the name."""
    before = [r for r in RIVALS if r.framework == rival.framework]
    return next(r for r in before if name in r.fields) is rival


@pytest.mark.parametrize(
    ("cls", "option", "words"),
    [
        (ChatRocm, "num_ctx", "ChatOllama's num_ctx is context_len here"),
        (ChatRocm, "num_predict", "is max_tokens here"),
        (ChatRocm, "num_gpu", "is gpu_layers here"),
        (ChatRocm, "format", "with_structured_output"),
        (ChatRocm, "request_timeout", "is timeout here"),
        (ChatRocm, "n_gpu_layers", "is gpu_layers here"),
        (ChatRocm, "tfs_z", "no counterpart here: llama.cpp has no tail-free sampling"),
        (ChatRocm, "stream_usage", "is not needed here: every answer has usage_metadata"),
        (ChatRocm, "ngl", "llama-server's ngl is gpu_layers here"),
        (ChatRocm, "timings_per_token", "extra_body"),
        (ChatRocm, "temprature", "Did you mean 'temperature'"),
        (ChatRocm, "embeddings", "Use the class for embeddings"),
        (LangChainLLM, "num_predict", "is max_tokens here"),
        (RocmLLM, "format", "structured_predict"),
        (ChatRocm, "use_mlock", 'ChatLlamaCpp\'s use_mlock is load_mode here ("mlock", or'),
        (RocmLLM, "request_timeout", "Ollama's request_timeout is timeout here"),
        (RocmLLM, "context_window", "is context_len here"),
        (RocmLLM, "thinking", "is reasoning here"),
        (RocmLLM, "additional_kwargs", "is extra_body here"),
        (RocmLLM, "max_new_tokens", "LlamaCPP's max_new_tokens is max_tokens here"),
        (RocmLLM, "num_ctx", "is context_len here"),
        (RocmEmbedding, "num_ctx", "is context_len here"),
        (RocmEmbeddings, "num_gpu", "is gpu_layers here"),
    ],
)
def test_the_hint_names_what_was_meant(cls: Any, option: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        cls(model="demo", **{option: 3})
    assert words in str(caught.value)


@pytest.mark.parametrize("option", ["num_gpu", "request_timeout", "import_path", "frobnicate"])
def test_no_guess_is_better_than_a_wrong_one(option: str) -> None:
    given: dict[str, Any] = {option: 1}
    with pytest.raises(ValidationError) as caught:
        RocmLLM(model="demo", **given)
    for misleading in ("main_gpu", "queue_timeout", "'port'", "Did you mean"):
        assert misleading not in str(caught.value)


def test_a_class_without_the_option_is_not_told_of_it() -> None:
    with pytest.raises(ValidationError) as caught:
        RocmEmbeddings(model="demo", num_predict=3)  # type: ignore[call-arg]
    assert "max_tokens" not in str(caught.value)


def test_options_inside_of_options_are_looked_up_too() -> None:
    given: dict[str, Any] = {"options": {"num_ctx": 4096, "num_predict": 3, "top_k": 1}}
    with pytest.raises(ValidationError) as caught:
        ChatRocm(model="demo", **given)
    for words in ("num_ctx is context_len", "num_predict is max_tokens", "top_k is top_k here"):
        assert words in str(caught.value)


def test_the_tables_leave_nothing_blank() -> None:
    kinds = [found.kind for rival in RIVALS for found in rival.fields.values()]
    assert {kind: kinds.count(kind) for kind in ("option", "instead", "none")} == {
        "option": 246,
        "instead": 36,
        "none": 43,
    }
    assert {r.framework for r in RIVALS} > {LANGCHAIN}
