"""What ``chat_template`` means: a text, a file, a name, or an error; never a wrong prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core import LoadConfig
from rocm_core.config import chosen_template
from rocm_core.errors import ConfigError

JINJA = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jinja"
    path.write_text(JINJA)
    return path


def test_a_text_is_a_text_and_nothing_is_none() -> None:
    choice = chosen_template(LoadConfig(chat_template=JINJA))
    assert choice is not None
    assert (choice.text, choice.path, choice.name) == (JINJA, None, "")
    assert chosen_template(LoadConfig()) is None


def test_a_file_is_read_whatever_way_it_is_given(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("HOME", str(file.parent))
    ways: list[LoadConfig] = [
        *(LoadConfig(chat_template=way) for way in (file, str(file), file.name, f"~/{file.name}")),
        *(LoadConfig(chat_template_file=way) for way in (file, str(file), f"~/{file.name}")),
    ]
    for config in ways:
        choice = chosen_template(config)
        assert choice is not None
        assert (choice.text, choice.path, choice.name) == (JINJA, file, ""), config


@pytest.mark.parametrize("name", ["chatml", "llama3", "mistral-v7-tekken", "phi3"])
def test_a_name_is_left_to_llama_cpp(name: str) -> None:
    choice = chosen_template(LoadConfig(chat_template=name))
    assert choice is not None
    assert (choice.name, choice.text, choice.path) == (name, "", None)


@pytest.mark.parametrize(
    "path", ["/srv/gone.jinja", "gone.jinja", "templates/gone", "~/gone", "C:\\gone", "gone.txt"]
)
def test_a_path_without_a_file_is_an_error_and_no_template(path: str) -> None:
    with pytest.raises(ConfigError, match=r"looks like a path.*no such file.*Give Jinja text"):
        chosen_template(LoadConfig(chat_template=path))


@pytest.mark.parametrize("text", ["hello world", "", "a\nb", "x" * 5000 + " "])
def test_a_text_that_every_prompt_would_be_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="every prompt would be this text"):
        chosen_template(LoadConfig(chat_template=text))


def test_a_file_that_is_no_template_is_an_error(tmp_path: Path) -> None:
    plain, binary = tmp_path / "plain.jinja", tmp_path / "binary.jinja"
    plain.write_text("hello")
    binary.write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match="no brace in it"):
        chosen_template(LoadConfig(chat_template=str(plain)))
    with pytest.raises(ConfigError, match="cannot be read .*UTF-8"):
        chosen_template(LoadConfig(chat_template_file=binary))
    with pytest.raises(ConfigError, match="chat_template_file: .*gone cannot be read"):
        chosen_template(LoadConfig(chat_template_file=tmp_path / "gone"))
    with pytest.raises(ConfigError, match="chat_template: .* cannot be read"):
        chosen_template(LoadConfig(chat_template=tmp_path))


def test_two_templates_are_one_too_many(file: Path) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        LoadConfig(chat_template=JINJA, chat_template_file=file)
