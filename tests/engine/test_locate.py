"""Finding an engine: the order, and that an explicit choice never falls through."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from rocm_core import LoadConfig
from rocm_core.config import Engine
from rocm_core.engine.locate import PATH_VARIABLE
from rocm_core.errors import ConfigError, EngineNotFound
from rocm_core.server import find_engine

EMPTY: dict[str, str] = {"PATH": ""}


def program(path: Path, help_text: str = "-m, --model FNAME  the model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'EOF'\n{help_text}\nEOF\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_an_argument_wins_over_the_environment(tmp_path: Path) -> None:
    mine, other = program(tmp_path / "mine"), program(tmp_path / "other")
    engine = find_engine("auto", mine, {PATH_VARIABLE: str(other)})
    assert engine.argv == (str(mine),)
    assert engine.source == "server_path"


def test_the_environment_wins_over_path(tmp_path: Path) -> None:
    mine = program(tmp_path / "mine")
    on_path = program(tmp_path / "bin" / "llama-server")
    engine = find_engine("auto", None, {PATH_VARIABLE: str(mine), "PATH": str(on_path.parent)})
    assert engine.argv == (str(mine),)


def test_a_program_on_path_is_found(tmp_path: Path) -> None:
    on_path = program(tmp_path / "llama-server")
    engine = find_engine("auto", None, {"PATH": str(tmp_path)})
    assert engine.argv == (str(on_path),)
    assert engine.kind == "binary"


def test_a_directory_is_searched_like_a_build_tree(tmp_path: Path) -> None:
    built = program(tmp_path / "build" / "bin" / "llama-server")
    assert find_engine("auto", tmp_path, EMPTY).argv == (str(built),)


@pytest.mark.parametrize("choice", ["auto", "binary"])
def test_a_wrong_environment_variable_is_an_error(tmp_path: Path, choice: str) -> None:
    with pytest.raises(EngineNotFound, match=f"{PATH_VARIABLE} is .*does not exist"):
        find_engine(choice, None, {PATH_VARIABLE: str(tmp_path / "gone")})  # type: ignore[arg-type]


def test_a_directory_without_a_server_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFound, match=r"there is no llama-server"):
        find_engine("auto", tmp_path, EMPTY)


def test_a_file_that_is_not_executable_is_an_error(tmp_path: Path) -> None:
    plain = tmp_path / "llama-server"
    plain.write_text("")
    with pytest.raises(EngineNotFound, match="not executable"):
        find_engine("auto", plain, EMPTY)


def test_embedded_is_chosen_when_asked_for() -> None:
    engine = find_engine("embedded", None, EMPTY)
    assert engine.kind == "embedded"
    assert engine.argv[0] == sys.executable


def test_nothing_installed_names_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineNotFound, match=r"llama-rocm\[embedded\].*PATH"):
        find_engine("auto", None, EMPTY)


def test_flags_are_read_from_help_and_a_rebuilt_program_is_asked_again(tmp_path: Path) -> None:
    path = program(tmp_path / "srv", "-m,    --model FNAME   path\n--no-ui, --no-webui   x")
    flags = find_engine("auto", path, EMPTY).flags()
    assert {"-m", "--model", "--no-ui", "--no-webui"} <= flags
    assert "--jinja" not in flags
    program(path, "-m, --model FNAME\n--jinja  use a template engine for everything")
    assert "--jinja" in find_engine("auto", path, EMPTY).flags()


def test_the_flags_of_both_engines_hold_what_the_command_line_uses(engine: Engine) -> None:
    flags = find_engine(engine).flags()
    assert {"-m", "-c", "-np", "-ngl", "-t", "-b", "-ub", "-fa", "-ctk", "-ctv"} <= flags
    assert {"--host", "--port", "--alias", "--lora", "--mmproj", "--metrics"} <= flags


def test_a_program_that_cannot_run_is_reported(tmp_path: Path) -> None:
    broken = program(tmp_path / "srv")
    broken.write_text("#!/nonexistent/interpreter\n")
    with pytest.raises(EngineNotFound, match="cannot be run"):
        find_engine("auto", broken, EMPTY).flags()


def test_an_unknown_engine_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="engine must be"):
        LoadConfig(engine="turbo")  # type: ignore[arg-type]


def test_a_program_and_the_embedded_engine_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="server_path"):
        LoadConfig(engine="embedded", server_path="/usr/bin/llama-server")
