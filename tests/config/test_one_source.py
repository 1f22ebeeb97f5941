"""Flags, settings, fields, the request and the pages are those that the declarations make."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langchain_rocm import ChatRocm, RocmDecisions, RocmEmbeddings, RocmRerank
from langchain_rocm import RocmLLM as LangChainLLM
from llama_index_rocm import RocmDecisionRerank, RocmEmbedding, RocmLLM, RocmSelector
from llama_index_rocm import RocmRerank as LlamaIndexRerank
from rocm_core import GenerateConfig, LoadConfig, RemoteConfig, Timeouts
from rocm_core.cli.options import (
    add_generation_options,
    add_model_options,
    add_remote_options,
    generation_options,
    load_options,
)
from rocm_core.client import calls
from rocm_core.config import SAMPLING_FIELDS, Option, options_of
from rocm_core.config.catalog import adapter_options, groups, setting_options
from scripts.generate import FILES, ROOT

CLASSES = (LoadConfig, RemoteConfig, Timeouts, GenerateConfig)
# Options without a flag, and why.
NO_FLAG = {
    "base_url": "--model takes a URL",
    "model_dir": "ROCM_MODEL_DIR: for every program",
    "api_key": "--api-key-env, --api-key-file: a key never stands on a command line",
    "headers": "may hold a key",
}
KEY_FLAGS = ("--api-key-env", "--api-key-file")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_model_options(made)
    add_remote_options(made)
    add_generation_options(made)
    return made


def every_option() -> dict[str, Option]:
    found: dict[str, Option] = {}
    for group in groups().values():
        found = group | found  # "timeout" is the adapters' one, and that of one call
    return found


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_field_is_declared_with_a_sentence_and_shown_by_help(cls: type[Any]) -> None:
    assert list(options_of(cls)) == [field.name for field in dataclasses.fields(cls)]
    for name, option in options_of(cls).items():
        assert option.text.endswith(".") and len(option.text) > 15, name
        assert option.text in (cls.__doc__ or "")


@pytest.mark.parametrize("name", FILES)
def test_what_is_generated_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), (
        "run: python -m scripts.generate"
    )


@pytest.mark.parametrize(
    "cls",
    [
        *(ChatRocm, LangChainLLM, RocmEmbeddings, RocmRerank, RocmDecisions),
        *(RocmLLM, RocmEmbedding, LlamaIndexRerank, RocmSelector, RocmDecisionRerank),
    ],
    ids=lambda cls: f"{cls.__module__}.{cls.__name__}",
)
def test_every_field_of_an_adapter_is_described(cls: Any) -> None:
    ours = adapter_options()
    for name, field in cls.model_fields.items():
        assert field.description, name
        if name in ours and name not in inspect.get_annotations(cls):
            assert ours[name].text in field.description


def test_every_option_has_a_flag_or_a_reason() -> None:
    flags = {s for action in parser()._actions for s in action.option_strings}
    declared = {n: o for n, o in every_option().items() if o.setting or n == "model_name"}
    without = {n for n, o in declared.items() if f"--{o.flag}" not in flags}
    assert without == set(NO_FLAG)
    ours = {f"--{o.flag}" for o in declared.values() if o.flag}
    ours |= {f"--no-{flag[2:]}" for flag in ours}
    assert flags - ours == {"-h", "--help", "-m", "-v", "--verbose", *KEY_FLAGS}


def test_flags_arrive_as_the_arguments_that_they_stand_for() -> None:
    line = (
        "--context-len 8k --flash-attn off --device 0 --device 7800 --tensor-split 3,1 "
        "--no-verify-tls --env A=1 --env B --keep-alive 10m --timeout 2m --extra-arg=--no-warmup "
        "--temperature 0 --stop a --stop b,c --max-queue none --embeddings"
    )
    options = parser().parse_args(line.split())
    assert load_options(options) == {
        "context_len": 8192,
        "flash_attn": False,
        "devices": ("0", "7800"),
        "tensor_split": (3.0, 1.0),
        "verify_tls": False,
        "environment": {"A": "1", "B": None},
        "keep_alive": 600.0,
        "timeout": 120.0,
        "extra_args": ("--no-warmup",),
        "max_queue": None,
        "embeddings": True,
    }
    assert generation_options(options) == {"temperature": 0.0, "stop": ("a", "b,c")}


def test_flags_of_lists_may_be_repeated_or_say_none() -> None:
    line = (
        "--extra-arg=--override-kv --extra-arg=a=int:1,b=int:2 --extra-arg none --device none "
        "--samplers none --dry-sequence-breakers a,b --dry-sequence-breakers c --stop none"
    )
    options = parser().parse_args(line.split())
    assert load_options(options) == {
        "extra_args": ("--override-kv", "a=int:1,b=int:2", "none"),
        "devices": (),
    }
    assert generation_options(options) == {
        "samplers": None,
        "dry_sequence_breakers": ("a,b", "c"),
        "stop": (),
    }


def test_the_signature_of_an_adapter_has_the_options_before_the_first_instance() -> None:
    code = (
        "import inspect, langchain_rocm, llama_index_rocm\n"
        "for module in (langchain_rocm, llama_index_rocm):\n"
        "    for cls in (getattr(module, n) for n in module.__all__):\n"
        "        if hasattr(cls, 'model_fields') and 'context_len' in cls.model_fields:\n"
        "            print('context_len' in inspect.signature(cls).parameters)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["True"] * 10


def test_every_sampling_option_is_a_field_of_the_request_and_only_if_it_is_set() -> None:
    given = {n: _some(o) for n, o in options_of(GenerateConfig).items() if n in SAMPLING_FIELDS}
    given.pop("json_schema")
    body = calls.completion("x", GenerateConfig(**given)).body
    assert {name: body[name] for name in given} == given
    bare = calls.completion("x", GenerateConfig(max_tokens=None, temperature=None)).body
    assert set(bare) == {"prompt", "stream"}


def _some(option: Option) -> Any:
    return option.read_text(option.example or "1")


def test_every_setting_stands_in_the_example_and_every_option_in_the_reference() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = [line for line in example.splitlines() if line]
    assert all(line.startswith("#") for line in lines), "nothing is set by copying it"
    assert len(re.findall(r"^#(?:LLAMA|ROCM)_\w+=.", example, re.M)) == len(setting_options())
    page = (ROOT / "docs/reference/options.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == set(every_option())


def test_the_generator_runs_and_finds_nothing_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.generate", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
