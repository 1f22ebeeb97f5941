"""What the files of a folder may say before its user trusts it, and where a key goes."""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import LoadConfig, RemoteConfig, load_model
from rocm_core.cli import main
from rocm_core.config.catalog import setting_options
from rocm_core.config.values import FilePath
from rocm_core.errors import ConfigError
from rocm_core.settings import Settings, current_settings, plan
from rocm_core.settings.names import GUARDED
from tests.support.settings import trust, user_file

THEIRS = "http://theirs.invalid"
KEY = "sk-of-the-user"


def quiet() -> Settings:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return current_settings()


def planned(ref: str | None = None, **options: Any) -> tuple[str, RemoteConfig]:
    chosen = plan(ref, None, None, options, quiet())
    return str(chosen.ref), chosen.remote


# -- a key goes only to a URL of its own place or a better one ----------------------------------


@pytest.mark.parametrize("by", ["environment", "user", "argument"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("llama-rocm.toml", f'base_url = "{THEIRS}"'),
        ("llama-rocm.toml", f'model = "{THEIRS}"'),
        ("llama-rocm.json", json.dumps({"base_url": THEIRS, "model": "m"})),
        (".env", f"LLAMA_URL={THEIRS}\n"),
        (".env", f"LLAMA_ROCM_BASE_URL={THEIRS}\n"),
        (".env", f"LLAMA_ROCM_MODEL={THEIRS}\n"),
    ],
)
@pytest.mark.parametrize("credential", ["api_key", "headers"])
def test_no_key_of_the_user_goes_where_a_folder_sends_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, by: str, credential: str
) -> None:
    (project / name).write_text(text)
    value: Any = KEY if credential == "api_key" else {"Authorization": KEY}
    given: dict[str, Any] = {}
    if by == "environment":
        monkeypatch.setenv(f"LLAMA_ROCM_{credential.upper()}", _written(value))
        source = f"LLAMA_ROCM_{credential.upper()}"
    elif by == "user":
        source = str(user_file(json.dumps({credential: value}), "llama-rocm.json"))
    else:
        given, source = {credential: value}, "an argument"
    makes: list[Callable[[], object]] = [
        lambda: planned(**given),
        lambda: load_model(**given),
        lambda: ChatRocm(**given),
        lambda: RocmLLM(**given),
    ]
    for make in makes:
        with pytest.raises((ConfigError, ValidationError)) as caught:
            make()
        told = str(caught.value)
        assert credential in told and source in told and str(project / name) in told
        assert "llama-rocm trust" in told and KEY not in told


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def test_a_key_goes_to_a_url_of_its_own_place_or_a_better_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "llama-rocm.toml").write_text(f'base_url = "{THEIRS}"\napi_key = "sk-theirs"')
    assert planned()[1].api_key == "sk-theirs"
    (project / ".env").write_text("LLAMA_ROCM_API_KEY=sk-env-file\n")
    assert planned()[1].api_key == "sk-env-file"
    monkeypatch.setenv("LLAMA_URL", "http://mine")
    assert planned() == ("http://mine", RemoteConfig(api_key="sk-env-file"))
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", KEY)
    assert planned()[1].api_key == KEY
    assert planned(THEIRS)[1].api_key is None, "the key was set for LLAMA_URL"
    monkeypatch.delenv("LLAMA_URL")
    assert planned(THEIRS)[1].api_key == KEY, "the user typed this URL"
    assert planned("http://other")[1].api_key == KEY, "a folder cannot say what a key is for"


def test_the_users_file_is_trusted_less_than_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = user_file("base_url = 'http://mine'")
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", KEY)
    with pytest.raises(ConfigError, match=r"from LLAMA_ROCM_API_KEY, but the URL") as caught:
        planned()
    assert str(file) in str(caught.value) and "llama-rocm trust" not in str(caught.value)
    user_file(f"base_url = 'http://mine'\napi_key = '{KEY}'")
    monkeypatch.delenv("LLAMA_ROCM_API_KEY")
    assert planned()[1].api_key == KEY


def test_a_trusted_folder_counts_like_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "llama-rocm.toml").write_text('base_url = "http://ours"')
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", KEY)
    trust(project)
    assert planned() == ("http://ours", RemoteConfig(api_key=KEY))
    assert ChatRocm().api_key is not None


def test_env_cannot_put_a_variable_of_the_user_into_a_url(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", KEY)
    (project / ".env").write_text(f"LLAMA_URL={THEIRS}/${{SOME_TOKEN}}\n")
    with pytest.warns(UserWarning, match="base_url in .*not used.*llama-rocm trust"):
        assert current_settings().values == {}
    with pytest.raises(ConfigError, match="no model"):
        planned()
    trust(project)
    assert planned()[0] == f"{THEIRS}/{KEY}"


@pytest.mark.parametrize("header", ["Host", "host", "X-Forwarded-Host", "FORWARDED"])
@pytest.mark.parametrize("kind", ["file", ".env"])
def test_no_folder_says_whose_server_behind_a_proxy_gets_the_key(
    project: Path, monkeypatch: pytest.MonkeyPatch, header: str, kind: str
) -> None:
    headers = {"X-Team": "a", header: "theirs.invalid"}
    path = project / ("llama-rocm.json" if kind == "file" else ".env")
    line = f"LLAMA_ROCM_HEADERS='{json.dumps(headers)}'\n"
    path.write_text(json.dumps({"headers": headers}) if kind == "file" else line)
    monkeypatch.setenv("LLAMA_URL", "http://mine")
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", KEY)
    with pytest.warns(UserWarning, match="headers in .*say where requests go.*llama-rocm trust"):
        assert current_settings().untrusted == {"headers": str(path)}
    assert planned() == ("http://mine", RemoteConfig(api_key=KEY))
    trust(project)
    assert planned()[1].headers == headers


def test_other_headers_of_a_folder_are_sent(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_URL", "http://mine")
    (project / "llama-rocm.json").write_text(json.dumps({"headers": {"X-Team": "a"}}))
    assert planned()[1].headers == {"X-Team": "a"}


# -- programs, code, files ------------------------------------------------------------------------

PROGRAMS: dict[str, Any] = {
    "server_path": "./llama-server",
    "environment": {"LD_PRELOAD": "./theirs.so"},
    "extra_args": ["--log-file", "theirs"],
    "lora": ["theirs.gguf"],
    "rpc_servers": ["theirs.invalid:1"],
    "allow_insecure_rpc": True,
    "chat_template": "{{ theirs }}",
    "chat_template_file": "theirs.jinja",
    "ca_file": "theirs.pem",
    "client_cert": "theirs.pem",
    "client_key": "theirs.key",
    "verify_tls": False,
    "media_root": "/",
}


def test_every_option_that_names_programs_or_code_is_among_them() -> None:
    """A new option that names a file is thought about: a model is none that is run."""
    models = {"mmproj", "draft_model", "model_dir"}
    files = {n for n, o in setting_options().items() if type(o.kind).__name__ in _FILES} - models
    assert files <= GUARDED == set(PROGRAMS)


_FILES = (FilePath.__name__, "TextOrPath")


@pytest.mark.parametrize("option", sorted(PROGRAMS))
@pytest.mark.parametrize("kind", ["file", ".env"])
def test_a_folder_names_no_program_until_it_is_trusted(
    project: Path, option: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    value = PROGRAMS[option]
    path = project / ("llama-rocm.json" if kind == "file" else ".env")
    text = json.dumps(value) if not isinstance(value, str) else value
    line = f"LLAMA_ROCM_{option.upper()}='{text}'\n"
    path.write_text(json.dumps({option: value, "threads": 3}) if kind == "file" else line)
    with pytest.warns(UserWarning, match=f"{option} in .*llama-rocm trust {project}"):
        found = current_settings()
    assert option not in found.values and found.untrusted == {option: str(path)}
    assert plan("demo", None, None, {}, found).config.environment == ()
    assert plan("http://x", None, None, {}, quiet()).remote == RemoteConfig()
    assert (plan("demo", None, None, {}, found).config == LoadConfig()) is (kind == ".env")
    assert main(["config"]) == 0
    assert f"not trusted: {option} in {path}" in capsys.readouterr().out
    trust(project)
    assert f"counts from now on: {option}" in capsys.readouterr().out
    assert option in current_settings().values and not current_settings().untrusted


def test_what_the_user_says_counts_where_a_folder_may_not(project: Path) -> None:
    user_file("server_path = '/mine'")
    (project / "llama-rocm.toml").write_text("server_path = '/theirs'")
    assert quiet().values == {"server_path": "/mine"}
    trust(project)
    assert current_settings().values == {"server_path": "/theirs"}


# -- what trust is, and when it ends --------------------------------------------------------------


def test_trust_ends_when_the_file_changes_or_moves(project: Path, tmp_path: Path) -> None:
    file = project / "llama-rocm.toml"
    file.write_text("extra_args = ['--one']")
    trust(project)
    assert quiet().values == {"extra_args": ("--one",)}
    file.write_text("extra_args = ['--two']")
    assert quiet().values == {}
    file.write_text("extra_args = ['--one']")
    assert quiet().values == {"extra_args": ("--one",)}, "the same content as then"
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    file.rename(elsewhere / file.name)
    os.chdir(elsewhere)
    assert quiet().values == {}


def test_trust_is_listed_and_revoked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust"]) == 1
    assert "no .env and no llama-rocm.toml" in capsys.readouterr().err
    file = project / "llama-rocm.toml"
    file.write_text("lora = ['a.gguf']\nthreads = 1")
    assert main(["trust"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"trusted until it changes: {file}",
        "  counts from now on: lora",
        "  counted before:     threads",
    ]
    assert main(["trust", "--list"]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert main(["trust", "--revoke", str(project)]) == 0
    assert capsys.readouterr().out == f"no longer trusted: {file}\n"
    assert "lora" not in quiet().values
    assert main(["trust", "--revoke"]) == 1
    assert "no file is trusted" in capsys.readouterr().err
    assert main(["trust", "--list"]) == 0
    assert capsys.readouterr().out == ""


def test_a_changed_file_is_listed_as_such(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".env").write_text("LLAMA_ROCM_LORA=a\n")
    trust(project)
    (project / ".env").unlink()
    capsys.readouterr()
    assert main(["trust", "--list"]) == 0
    assert "changed or gone: not trusted any more" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are POSIX")
def test_the_notes_are_private_and_believed_only_if_they_are(project: Path) -> None:
    (project / "llama-rocm.toml").write_text("lora = ['a.gguf']")
    trust(project)
    notes = Path(os.environ["XDG_CONFIG_HOME"]) / "llama-rocm" / "trusted.json"
    assert stat.S_IMODE(notes.stat().st_mode) == 0o600
    assert [p.name for p in notes.parent.iterdir()] == ["trusted.json"]
    notes.chmod(0o666)
    (project / "llama-rocm.toml").touch()
    with pytest.warns(UserWarning, match="others can write it"):
        assert current_settings().values == {}
    notes.chmod(0o600)
    notes.write_text("[1]")
    with pytest.warns(UserWarning, match="no folder is trusted"):
        assert current_settings().values == {}


def test_a_file_that_the_environment_names_needs_no_trust(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mine.toml").write_text(f"base_url = 'http://mine'\nlora = ['a']\napi_key='{KEY}'")
    monkeypatch.setenv("LLAMA_ROCM_CONFIG", str(project / "mine.toml"))
    assert current_settings().values["lora"] == ("a",)
    (project / ".env").write_text(
        f"LLAMA_ROCM_CONFIG={project / 'theirs.toml'}\nLLAMA_ROCM_LORA=b\n"
    )
    assert quiet().values["lora"] == ("a",), "a .env names no file to trust"


def test_a_file_without_an_end_is_not_read(project: Path) -> None:
    (project / "llama-rocm.toml").write_text("# x" * 400_000)
    with pytest.raises(ConfigError, match="at most 1 MiB"):
        current_settings()
