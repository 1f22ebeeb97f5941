"""One parser for each kind of value, applied wherever an option comes in."""

from __future__ import annotations

import enum
import math
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
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
from tests.support.settings import trust

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
    ("lora", [""], ("",)),
    ("require_gpu", "yes", True),
    ("require_gpu", "f", False),
    ("context_len", np.int64(4096), 4096),
    ("context_len", Decimal(4096), 4096),
    ("threads", "1_000", 1000),
    ("stall_timeout", ".5", 0.5),
    ("stall_timeout", "1e3", 1000.0),
    ("queue_timeout", np.float32(0.5), 0.5),
    ("tensor_split", np.array([3.0, 1.0]), (3.0, 1.0)),
    ("tensor_split", [Fraction(1, 2)] * 2, (0.5, 0.5)),
    ("devices", {7}, (7,)),
    ("devices", np.arange(2), (0, 1)),
    ("extra_args", {"--a": 1}.keys(), ("--a",)),
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
    ("threads", 10**30, "64 bits"),
    ("context_len", np.True_, "an integer"),
    ("extra_args", b"ab", "a list of arguments"),
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
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    text = f'["{given}"]' if name == "lora" else given  # a variable's text is split at commas
    monkeypatch.setenv(f"LLAMA_ROCM_{name.upper()}", text)
    assert current_settings().values[name] == meant
    monkeypatch.delenv(f"LLAMA_ROCM_{name.upper()}")
    (tmp_path / "llama-rocm.toml").write_text(f'{name} = "{given}"')
    trust(tmp_path)
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


@pytest.mark.parametrize("name", ["context_len", "tensor_split", "keep_alive", "devices"])
@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_of_any_length_is_refused_in_a_short_line(name: str, digits: int) -> None:
    with pytest.raises(ConfigError, match=f"^{name} ") as caught:
        LoadConfig(**{name: 10**digits})
    assert len(str(caught.value)) < 400
    with pytest.raises(ValidationError, match=name):
        ChatRocm(model="demo", **{name: 10**digits})


def test_a_list_may_come_from_an_iterator_and_is_read_once() -> None:
    for cls in (ChatRocm, RocmLLM):
        given: dict[str, Any] = {"stop": iter("ab"), "lora": map(Path, ["a", "b"])}
        llm = cls(model="demo", **given)
        assert (llm.stop, llm.lora) == (["a", "b"], ["a", "b"])
    assert GenerateConfig(stop=iter("ab")).stop == ("a", "b")  # type: ignore[arg-type]


def test_paths_are_taken_by_adapters_too_and_are_text_there() -> None:
    paths: dict[str, Any] = {
        "model": Path("a.gguf"),
        "mmproj": Path("b.gguf"),
        "lora": [Path("c.gguf")],
    }
    for cls in (ChatRocm, RocmLLM):
        llm = cls(**paths)
        assert (llm.model, llm.mmproj, llm.lora) == ("a.gguf", "b.gguf", ["c.gguf"])
    assert GenerateConfig(grammar=Path("g")).grammar == "g"  # type: ignore[arg-type]


def test_a_word_of_an_enumeration_becomes_the_word() -> None:
    class Mode(str, enum.Enum):
        ROW = "row"

    assert str(LoadConfig(split_mode=Mode.ROW).split_mode) == "row"  # type: ignore[arg-type]


def test_a_long_integer_in_text_is_exact() -> None:
    assert GenerateConfig(seed="9007199254740993").seed == 2**53 + 1  # type: ignore[arg-type]


def test_equal_proportions_are_equal_numbers_whatever_way_they_came() -> None:
    # The key of a shared server is made of them.
    split = LoadConfig(tensor_split=(3, 1)).tensor_split
    assert str(split) == str(options_of(LoadConfig)["tensor_split"].read_text("3,1"))


def test_the_longest_duration_is_one_that_clocks_take() -> None:
    assert Timeouts(idle="4000000d").idle == 1e9  # type: ignore[arg-type]
    assert Timeouts(idle=1e300).idle == 1e9


@pytest.mark.parametrize("wrong", [5, 2.5, True, [1], {"a": "b"}, b"ab", np.array([0, 1])])
def test_what_is_no_list_of_texts_is_refused_as_stop(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"token ids go into stop_token_ids"):
        GenerateConfig(stop=wrong)


@pytest.mark.parametrize("wrong", ["x", ["x"], True, 2.5, b"ab", Path("x")])
def test_what_is_no_list_of_ids_is_refused_as_stop_token_ids(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"texts go into stop"):
        GenerateConfig(stop_token_ids=wrong)
    with pytest.raises(ValidationError, match="stop_token_ids"):
        ChatRocm(model="demo", stop_token_ids=wrong)


@pytest.mark.parametrize("name", ["stop", "devices", "extra_args", "headers", "samplers"])
def test_none_empties_a_list_in_a_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LLAMA_ROCM_{name.upper()}", "none")
    assert not current_settings().values[name]


def test_empty_text_is_an_empty_list_in_a_file_as_in_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llama-rocm.toml").write_text('devices = ""\nstop = ""')
    assert current_settings().values == {"devices": (), "stop": ()}


def test_a_comma_alone_is_not_an_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ROCM_DRY_SEQUENCE_BREAKERS", ",")
    with pytest.raises(ConfigError, match="DRY_SEQUENCE_BREAKERS: takes a list of texts"):
        current_settings()
    monkeypatch.setenv("LLAMA_ROCM_DRY_SEQUENCE_BREAKERS", '["\\n", ","]')
    assert current_settings().values["dry_sequence_breakers"] == ("\n", ",")


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


@pytest.mark.parametrize("wrong", ["much", -1, True, 1.5, "9" * 400 + "G"])
def test_a_wrong_size_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        Size().read(wrong)


def test_a_wrong_flag_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["chat", "Hi", "--parallel", "2.5"])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "--parallel: parallel takes an integer of 1 or more, or None, not '2.5'" in said
