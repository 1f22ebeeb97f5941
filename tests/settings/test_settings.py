"""Options that are no arguments: which source wins, what unset means, what wrong ones say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import GenerateConfig, LoadConfig, RemoteConfig, load_model
from rocm_core.cli import main
from rocm_core.config.catalog import setting_options
from rocm_core.errors import ConfigError
from rocm_core.settings import Settings, current_settings, plan
from tests.support.models.reciter import RECITER
from tests.support.settings import trust, user_file

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"


def effective(ref: str | None = "demo", **options: Any) -> LoadConfig:
    return plan(ref, None, None, options, current_settings()).config


# -- which source wins ------------------------------------------------------------------------


def test_each_source_goes_over_those_below_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> tuple[int, str]:
        main(["config", "--json"])
        row = json.loads(capsys.readouterr().out)["context_len"]
        return row["value"], row["source"]

    assert told() == (0, "default")
    user = user_file("context_len = 1")
    assert told() == (1, str(user))
    file = project / "llama-rocm.toml"
    file.write_text("context_len = 2")
    assert told() == (2, str(file))
    (project / ".env").write_text("LLAMA_ROCM_CONTEXT_LEN=3\nOTHER=x\n")
    assert told() == (3, f"LLAMA_ROCM_CONTEXT_LEN in {project / '.env'}")
    monkeypatch.setenv("LLAMA_ROCM_CONTEXT_LEN", "4")
    assert told() == (4, "LLAMA_ROCM_CONTEXT_LEN")
    main(["config", "--json", "--context-len", "5"])
    row = json.loads(capsys.readouterr().out)["context_len"]
    assert row == {"value": 5, "source": "--context-len"}
    assert effective().context_len == 4
    assert effective(context_len=6).context_len == 6
    assert ChatRocm(model="demo").context_len == RocmLLM(model="demo").context_len == 4
    assert ChatRocm(model="demo", context_len=6).context_len == 6


def test_a_value_that_equals_the_default_still_goes_over_the_sources_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_CONTEXT_LEN", "4096")
    monkeypatch.setenv("LLAMA_ROCM_FLASH_ATTN", "true")
    assert effective(context_len=0, flash_attn=None) == LoadConfig()
    assert ChatRocm(model="demo", context_len=0, flash_attn=None).load_config() == LoadConfig()


def test_false_none_zero_and_unset_are_four_things(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "llama-rocm.json").write_text('{"flash_attn": true, "gpu_layers": 7, "threads": 3}')
    assert effective().flash_attn is True
    monkeypatch.setenv("LLAMA_ROCM_FLASH_ATTN", "false")
    assert effective().flash_attn is False
    monkeypatch.setenv("LLAMA_ROCM_FLASH_ATTN", "none")
    assert effective().flash_attn is None
    monkeypatch.setenv("LLAMA_ROCM_FLASH_ATTN", "")
    assert effective().flash_attn is True
    monkeypatch.setenv("LLAMA_ROCM_GPU_LAYERS", "0")
    assert effective().gpu_layers == 0
    (project / "llama-rocm.json").write_text('{"threads": null}')
    assert "threads" in current_settings().values and effective().threads is None


def test_a_file_without_an_option_leaves_its_default(project: Path) -> None:
    """A configuration file that does not mention a switch must not turn it off."""
    (project / "llama-rocm.toml").write_text("context_len = 512")
    chosen = plan("http://host", None, None, {}, current_settings())
    assert chosen.remote == RemoteConfig()
    assert chosen.remote.verify_tls is True


def test_a_complete_configuration_is_not_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ROCM_CONTEXT_LEN", "4096")
    monkeypatch.setenv("LLAMA_ROCM_TEMPERATURE", "1")
    chosen = plan("demo", LoadConfig(), GenerateConfig(), {"threads": 1}, current_settings())
    assert chosen.config == LoadConfig(threads=1)
    assert chosen.generate == GenerateConfig()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("llama-rocm.toml", 'context_len = 512\nlora = ["a", "b"]\n[headers]\nX-A = "1"\n'),
        ("llama-rocm.yaml", "context_len: 512\nlora: [a, b]\nheaders: {X-A: '1'}\n"),
        ("llama-rocm.yml", "context_len: 512\nlora:\n  - a\n  - b\nheaders:\n  X-A: '1'\n"),
        ("llama-rocm.json", '{"context_len": 512, "lora": ["a", "b"], "headers": {"X-A": "1"}}'),
    ],
)
def test_every_kind_of_file_says_the_same(project: Path, name: str, text: str) -> None:
    (project / name).write_text(text)
    trust(project)
    chosen = plan("http://host", None, None, {}, current_settings())
    assert chosen.remote.headers == {"X-A": "1"}
    assert effective() == LoadConfig(context_len=512, lora=("a", "b"))


def test_the_projects_file_is_found_from_below_its_root(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "llama-rocm.toml").write_text("context_len = 512")
    below = project / "notebooks" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert effective().context_len == 0, "no project: the file above is somebody else's"
    (project / "pyproject.toml").touch()
    assert effective().context_len == 512


def test_a_file_can_be_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "llama-rocm.toml").write_text("context_len = 512")
    (project / "other.toml").write_text("context_len = 1024")
    monkeypatch.setenv("LLAMA_ROCM_CONFIG", "other.toml")
    assert effective().context_len == 1024
    monkeypatch.setenv("LLAMA_ROCM_CONFIG", "gone.toml")
    with pytest.raises(ConfigError, match=r"LLAMA_ROCM_CONFIG names gone\.toml"):
        effective()


def test_a_file_of_another_user_is_not_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "llama-rocm.toml").write_text('server_path = "/tmp/evil"')
    if os.getuid() == 0:
        os.chown(project / "llama-rocm.toml", 12345, -1)
    else:
        monkeypatch.setattr("os.getuid", lambda: os.geteuid() + 1)
    with pytest.warns(UserWarning, match="belongs to another user.*LLAMA_ROCM_CONFIG="):
        assert current_settings().values == {}
    monkeypatch.setenv("LLAMA_ROCM_CONFIG", "llama-rocm.toml")
    assert effective().server_path == "/tmp/evil"


# -- which model, and where -------------------------------------------------------------------


def test_model_and_url_come_from_the_settings_if_neither_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="LLAMA_ROCM_MODEL or LLAMA_URL"):
        load_model()
    monkeypatch.setenv("LLAMA_ROCM_MODEL", "demo")
    with load_model() as model:
        assert model.connection.ref.name == "demo"
    assert ChatRocm().model == "demo"
    monkeypatch.setenv("LLAMA_URL", "http://host:1/")
    with load_model() as model:
        assert model.connection.ref.value == "http://host:1/"
        assert model.connection.model_name == "demo"
    assert (RocmLLM().base_url, RocmLLM().model) == ("http://host:1/", "demo")


def test_a_base_url_needs_no_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (ChatRocm, RocmLLM):
        given = cls(base_url="gpubox:11434/one")
        assert (given.base_url, given.is_remote) == ("http://gpubox:11434/one", True)
        assert given.text_model.connection.ref.value == "http://gpubox:11434/one"
        assert cls(model="localhost:11434").is_remote
        assert not cls(model="gpubox:11434").is_remote
        with pytest.raises(ValidationError, match="base_url takes a URL, or host:port"):
            cls(base_url="unix:/run/llama.sock")
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", "sk-1")
    monkeypatch.setenv("LLAMA_URL", "localhost:11434")
    assert current_settings().target() == (None, "http://localhost:11434")
    assert ChatRocm().base_url == "http://localhost:11434"
    for url in ("localhost:11434", "http://localhost:11434/v1"):
        with load_model(url) as model:
            assert model.connection.ref.value.startswith("http://localhost:11434")
        assert plan(url, None, None, {}, current_settings()).remote.api_key == "sk-1"
        assert ChatRocm(base_url=url).api_key is not None
    assert plan("127.0.0.1:11434", None, None, {}, current_settings()).remote.api_key is None


def test_who_names_a_model_gets_no_url_from_the_settings_and_the_reverse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_MODEL", "theirs")
    monkeypatch.setenv("LLAMA_URL", "http://host:1")
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", "sk-theirs")
    chat = ChatRocm(model="demo")
    assert (chat.base_url, chat.api_key) == (None, None)
    with load_model("demo") as model:
        assert model.connection.ref.kind == "file"
    assert ChatRocm(base_url="http://mine").model == ""


def test_a_model_of_a_higher_source_hides_the_url_of_a_lower_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "llama-rocm.toml").write_text('base_url = "http://host"\nmodel = "theirs"')
    assert current_settings().target() == ("theirs", "http://host")
    monkeypatch.setenv("LLAMA_ROCM_MODEL", "demo")
    assert current_settings().target() == ("demo", None)
    monkeypatch.delenv("LLAMA_ROCM_MODEL")
    monkeypatch.setenv("LLAMA_URL", "http://other")
    assert current_settings().target() == (None, "http://other")


@pytest.mark.parametrize(
    ("own", "url", "sent"),
    [
        (None, "http://any", "sk-1"),
        ("http://host/v1", "http://host", "sk-1"),
        ("http://host", "http://evil", None),
    ],
)
def test_a_key_of_the_settings_goes_to_their_own_server_only(
    monkeypatch: pytest.MonkeyPatch, own: str | None, url: str, sent: str | None
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", "sk-1")
    if own:
        monkeypatch.setenv("LLAMA_URL", own)
    assert plan(url, None, None, {}, current_settings()).remote.api_key == sent
    given = plan(url, None, None, {"api_key": "sk-2"}, current_settings())
    assert given.remote.api_key == "sk-2"
    key = ChatRocm(base_url=url).api_key
    assert (key.get_secret_value() if key else None) == sent


def test_the_embedded_engine_runs_no_program_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LLAMA_ROCM_SERVER_PATH", "ROCM_LLAMA_SERVER_PATH"):
        monkeypatch.setenv(name, "/opt/llama-server")
        assert effective(engine="embedded").server_path is None
    monkeypatch.setenv("LLAMA_ROCM_ENGINE", "embedded")
    assert effective(server_path="/mine").server_path == "/mine"


def test_limits_and_generation_reach_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ROCM_IDLE_TIMEOUT", "2m")
    monkeypatch.setenv("LLAMA_ROCM_TIMEOUT", "none")
    monkeypatch.setenv("LLAMA_ROCM_TEMPERATURE", "0")
    monkeypatch.setenv("LLAMA_ROCM_STOP", "a, b")
    with load_model("http://host") as model:
        assert (model._generation.timeouts.idle, model._generation.timeouts.total) == (120.0, None)
        assert model._generation.timeouts.connect == 5.0
        assert model._defaults == GenerateConfig(stop=("a", "b"))
    llm = RocmLLM(model="demo", stop=["c"])
    assert (llm.idle_timeout, llm.temperature, llm.stop) == (120.0, 0.0, ["c"])


def test_the_model_directory_of_a_file_is_searched(project: Path) -> None:
    (project / "models").mkdir()
    (project / "models" / "tiny.gguf").write_bytes(Path(RECITER).read_bytes())
    (project / "llama-rocm.toml").write_text('model_dir = "models"\nmodel = "tiny"')
    with load_model() as model:
        assert model.connection.ref.name == "tiny"


# -- wrong ones -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("llama-rocm.toml", "contex_len = 1", "has no option 'contex_len'.*'context_len'"),
        ("llama-rocm.toml", "parallel = 'x'", r"parallel from .*llama-rocm\.toml: .*integer"),
        ("llama-rocm.toml", "parallel ==", r"llama-rocm\.toml cannot be read"),
        ("llama-rocm.json", "[1]", r"llama-rocm\.json cannot be read"),
        ("llama-rocm.json", '{"stall_timeout": "soon"}', "stall_timeout from"),
        ("llama-rocm.yaml", "parallel: [", r"llama-rocm\.yaml cannot be read"),
    ],
)
def test_what_a_file_says_wrong_is_named(project: Path, name: str, text: str, words: str) -> None:
    (project / name).write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_model("demo")


def test_two_files_in_one_place_are_refused(project: Path) -> None:
    for name in ("llama-rocm.toml", "llama-rocm.json"):
        (project / name).write_text("{}" if name.endswith("json") else "")
    with pytest.raises(ConfigError, match=r"llama-rocm\.toml and llama-rocm\.json: keep one"):
        load_model("demo")


def test_yaml_without_pyyaml_says_what_to_install(project: Path) -> None:
    (project / "llama-rocm.yaml").write_text("threads: 1")
    done = _run("import sys, rocm_core; sys.modules['yaml'] = None; rocm_core.load_model('demo')")
    assert "llama-rocm.yaml needs PyYAML: pip install pyyaml" in done.stderr


def test_a_wrong_variable_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ROCM_PARALLEL", "sk-pasted-by-mistake")
    with pytest.raises(ConfigError, match=r"^LLAMA_ROCM_PARALLEL: .*integer") as caught:
        load_model("demo")
    assert "sk-pasted" not in str(caught.value)


def test_an_unknown_variable_is_a_warning_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_CONTEX_LEN", "1")
    with pytest.warns(UserWarning, match="Did you mean LLAMA_ROCM_CONTEXT_LEN"):
        assert current_settings() == Settings()


# -- completeness -----------------------------------------------------------------------------


def test_every_option_is_a_setting() -> None:
    named = {f.name for cls in (LoadConfig, RemoteConfig) for f in fields(cls)} - {"model_name"}
    assert named <= set(setting_options())
    flat = {name for name in ChatRocm.model_fields if name in GenerateConfig.__dataclass_fields__}
    per_call = {"stop_token_ids", "grammar", "logit_bias", "ignore_eos", "cache_prompt"}
    per_call |= {"id_slot", "n_keep", "coalesce", "allow_long_runs", "n", "n_indent", "n_discard"}
    per_call |= {"n_cache_reuse", "n_probs", "post_sampling_probs", "backend_sampling"}
    per_call |= {"t_max_predict_ms"}
    assert flat - per_call <= set(setting_options())


def test_every_key_of_the_example_is_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = re.sub(r"^#(?=[A-Z_]+=)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.M)
    (project / ".env").write_text(text, encoding="utf-8")
    keys = dotenv_values(project / ".env")
    trust(project)
    assert len(keys) == len(setting_options())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_file = current_settings(complete=True)
    told = {source.partition(" in ")[0] for source in from_file.sources.values()}
    assert told == set(keys)
    (project / ".env").unlink()
    for name, value in keys.items():
        monkeypatch.setenv(name, value or "")
    from_environment = current_settings(complete=True)
    assert from_environment.values == from_file.values
    assert set(from_environment.sources.values()) == set(keys)
    monkeypatch.undo()


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_importing_and_an_unconfigured_machine_cost_no_pydantic(project: Path) -> None:
    program = (
        "import sys, rocm_core\n"
        "rocm_core.load_model('demo').close()\n"
        "assert not {'pydantic', 'pydantic_settings', 'dotenv', 'yaml'} & set(sys.modules)"
    )
    (project / ".env").write_text("OPENAI_API_KEY=1\n")
    done = _run(program)
    assert done.returncode == 0, done.stderr


def test_config_shows_every_option_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", "sk-secret")
    monkeypatch.setenv("LLAMA_ROCM_HEADERS", '{"Authorization": "sk-secret"}')
    monkeypatch.setenv("LLAMA_URL", "http://me:sk-secret@host:1")
    monkeypatch.setenv("MY_KEY", "sk-secret")
    assert main(["config"]) == main(["config", "--json", "--api-key-env", "MY_KEY"]) == 0
    shown = capsys.readouterr().out
    assert "sk-secret" not in shown
    assert "********@host:1" in shown
    assert '"source": "--api-key-env"' in shown
    assert all(name in shown for name in setting_options())
    assert main(["config", "--api-key-env", "GONE"]) == 1
    monkeypatch.setenv("LLAMA_URL", "http://me:sk-secret@[broken")
    assert main(["config"]) == 0
    shown = capsys.readouterr().out
    assert "sk-secret" not in shown and "********@[broken" in shown


@pytest.mark.parametrize("option", ["base_url", "model"])
def test_load_model_takes_the_url_as_its_first_argument(option: str) -> None:
    options: dict[str, Any] = {option: "http://127.0.0.1:1"}
    with pytest.raises(ConfigError, match="its first argument is the model, or the URL"):
        load_model("demo", **options)
