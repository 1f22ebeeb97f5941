"""One parser for each kind of value, applied wherever an option comes in."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import GenerateConfig, LoadConfig, RemoteConfig, Timeouts
from rocm_core.cli import main
from rocm_core.config import options_of
from rocm_core.config.values import Size
from rocm_core.errors import ConfigError
from rocm_core.settings import current_settings, plan

# Option, what was given, what it means.
RIGHT: list[tuple[str, Any, Any]] = [
    ("flash_attn", "off", False),
    ("flash_attn", "on", True),
    ("flash_attn", "auto", "auto"),
    ("flash_attn", False, False),
    ("gpu_layers", "all", -1),
    ("gpu_layers", "auto", "auto"),
    ("gpu_layers", "20", 20),
    ("context_len", "4096", 4096),
    ("context_len", "8k", 8192),
    ("context_len", "1M", 1024**2),
    ("context_len", 4096.0, 4096),
    ("stall_timeout", "2m", 120.0),
    ("stall_timeout", "250ms", 0.25),
    ("queue_timeout", "1d", 86400.0),
    ("queue_timeout", None, None),
    ("keep_alive", "1.5h", 5400.0),
    ("keep_alive", "-1", -1.0),
    ("devices", ["7800"], ("7800",)),
    ("devices", 0, (0,)),
    ("tensor_split", [3, 1], (3, 1)),
    ("lora", "a,b.gguf", ("a,b.gguf",)),
    ("require_gpu", "yes", True),
]
# Option, what was given, what the error says is allowed.
WRONG: list[tuple[str, Any, str]] = [
    ("flash_attn", "maybe", "True or 'on', False or 'off', 'auto'"),
    ("gpu_layers", "most", "'all', 'auto'"),
    ("gpu_layers", True, "an integer"),
    ("context_len", "8 kilo", "an integer of 0 or more"),
    ("context_len", -1, "0 or more"),
    ("parallel", 2.5, "an integer of 1 or more"),
    ("parallel", 0, "1 or more"),
    ("stall_timeout", "soon", '"30s", "10m"'),
    ("stall_timeout", -1, "0 or more"),
    ("stall_timeout", math.nan, "seconds"),
    ("keep_alive", True, "-1 forever"),
    ("engine", "turbo", "one of auto, binary, embedded"),
    ("split_mode", "rows", "one of none, layer, row, tensor"),
    ("devices", [1.5], "an index, a UUID, a PCI address or a name"),
    ("tensor_split", [0, 0], "proportions such as (3, 1)"),
    ("tensor_split", [-1], "proportions such as (3, 1)"),
    ("server_path", 7, "a path"),
    ("restart", "always", "one of on-failure, never"),
]


@pytest.mark.parametrize(("name", "given", "meant"), RIGHT)
def test_a_load_option_means_the_same_in_the_core_and_in_both_adapters(
    name: str, given: Any, meant: Any
) -> None:
    assert getattr(LoadConfig(**{name: given}), name) == meant
    for adapter in (
        ChatRocm(model="demo", **{name: given}),
        RocmLLM(model="demo", **{name: given}),
    ):
        assert getattr(adapter.load_config(), name) == meant


@pytest.mark.parametrize(
    ("name", "given", "meant"), [row for row in RIGHT if isinstance(row[1], str)]
)
def test_a_load_option_means_the_same_in_a_variable_a_file_and_a_flag(
    name: str, given: str, meant: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f'["{given}"]' if name == "lora" else given  # a variable's text is split at commas
    monkeypatch.setenv(f"LLAMA_ROCM_{name.upper()}", text)
    assert current_settings().values[name] == meant
    monkeypatch.delenv(f"LLAMA_ROCM_{name.upper()}")
    (tmp_path / "llama-rocm.toml").write_text(f'{name} = "{given}"')
    assert getattr(plan("demo", None, None, {}, current_settings()).config, name) == meant


@pytest.mark.parametrize(("name", "given", "allowed"), WRONG)
def test_a_wrong_load_option_is_named_with_what_was_given_and_what_is_allowed(
    name: str, given: Any, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        LoadConfig(**{name: given})
    for adapter in (ChatRocm, RocmLLM):
        with pytest.raises(ValidationError, match=name):
            adapter(model="demo", **{name: given})
    said = str(caught.value)
    shown = str(given[0] if isinstance(given, list) and name == "devices" else given)
    assert name in said and allowed in said and shown.strip("[]") in said


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("max_tokens", "5", 5),
        ("max_tokens", "1k", 1024),
        ("max_tokens", None, None),
        ("temperature", "0.5", 0.5),
        ("temperature", 1, 1),
        ("seed", "-1", -1),
        ("stop", "a,b", ("a,b",)),
        ("stop", None, ()),
        ("samplers", ["top_k", "min_p"], ("top_k", "min_p")),
        ("timeout", "2m", 120.0),
        ("coalesce", "on", True),
    ],
)
def test_a_generation_option_is_parsed_on_construction(name: str, given: Any, meant: Any) -> None:
    assert getattr(GenerateConfig(**{name: given}), name) == meant


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("temperature", math.nan, "a finite number"),
        ("top_p", math.inf, "a finite number"),
        ("temperature", "warm", "a finite number"),
        ("max_tokens", 2.5, "an integer of -1 or more"),
        ("max_tokens", -2, "-1 or more"),
        ("top_k", "many", "an integer"),
        ("timeout", "later", "seconds"),
    ],
)
def test_a_wrong_generation_option_is_refused_everywhere(
    name: str, given: Any, allowed: str
) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        GenerateConfig(**{name: given})
    assert allowed in str(caught.value)
    for adapter in (ChatRocm, RocmLLM):
        with pytest.raises(ValidationError, match=name):
            adapter(model="demo", **{name: given})


def test_limits_are_durations_and_load_model_takes_them_by_their_flat_names() -> None:
    text: Any = {"connect": "250ms", "total": "1h"}
    assert Timeouts(**text) == Timeouts(connect=0.25, total=3600.0)
    given: dict[str, Any] = {"connect_timeout": "1s", "timeout": None}
    chosen = plan("demo", None, None, given, current_settings())
    assert chosen.timeouts(Timeouts(total=9)) == Timeouts(connect=1.0, total=None)
    with pytest.raises(ConfigError, match=r"idle_timeout takes seconds"):
        Timeouts(idle="soon")  # type: ignore[arg-type]


def test_a_wrong_secret_is_not_shown() -> None:
    wrong: Any
    for wrong in ({"headers": "Bearer sk-1"}, {"headers": {"x": 1, "key": "sk-1"}}):
        with pytest.raises(ConfigError, match="headers takes") as caught:
            RemoteConfig(**wrong)
        assert "sk-1" not in str(caught.value)


def test_every_default_is_what_its_own_parser_returns() -> None:
    for cls in (LoadConfig, GenerateConfig, RemoteConfig, Timeouts):
        for option in options_of(cls).values():
            if option.default is not None:
                read = option.read(option.default)
                assert read == option.default or not (read or option.default), option.name
        assert cls() == cls(**asdict(cls()))  # what a daemon or a pickle makes of it


@pytest.mark.parametrize(
    ("text", "size"), [("24G", 24 << 30), ("512MiB", 512 << 20), ("1.5g", 3 << 29), (7, 7)]
)
def test_sizes_are_powers_of_1024(text: Any, size: int) -> None:
    assert Size().read(text) == size


@pytest.mark.parametrize("wrong", ["much", -1, True, 1.5])
def test_a_wrong_size_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        Size().read(wrong)


def test_a_wrong_flag_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["chat", "Hi", "--parallel", "2.5"])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "--parallel: parallel takes an integer of 1 or more, or None, not '2.5'" in said
