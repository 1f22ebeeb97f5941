"""Finding an engine: the order, and that an explicit choice never falls through."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.config import Engine
from rocm_core.engine.installed.bounded import Output, run_bounded
from rocm_core.engine.locate import PATH_VARIABLE
from rocm_core.errors import ConfigError, EngineNotFound
from rocm_core.server import find_engine
from tests.support.programs import PATIENCE, in_time

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


@pytest.mark.parametrize("other", ["/bin/true", "/bin/cat"])
def test_a_program_that_is_no_llama_server_is_told_so(other: str) -> None:
    with pytest.raises(EngineNotFound, match=rf"{other} is no llama-server.*Give the path of a"):
        find_engine("auto", other, EMPTY).flags()
    with pytest.raises(EngineNotFound, match="is no llama-server"):
        Server(resolve_ref("demo"), LoadConfig(server_path=other)).start()


def test_the_types_of_kv_cache_are_asked_of_the_build(tmp_path: Path) -> None:
    text = (
        "-m, --model FNAME\n-ctk,  --cache-type-k TYPE   for K\n    allowed values: f16, q8_0, tq4"
    )
    assert find_engine("auto", program(tmp_path / "new", text), EMPTY).cache_types() == (
        *("f16", "q8_0", "tq4"),
    )
    silent = find_engine("auto", program(tmp_path / "old"), EMPTY)
    assert "q8_0" in silent.cache_types()


@pytest.mark.parametrize("name", ["cache_type_k", "cache_type_v"])
def test_an_unknown_type_of_kv_cache_is_refused_with_the_known_ones(
    engine: Engine, name: str
) -> None:
    config = LoadConfig(engine=engine, **{name: "q9"})  # type: ignore[arg-type]
    server = Server(resolve_ref("demo"), config)
    with pytest.raises(ConfigError, match=rf"{name} is 'q9'; this engine knows f32, f16.*q5_1"):
        server.start()


def test_quantized_values_need_flash_attention() -> None:
    with pytest.raises(ConfigError, match=r"cache_type_v='q8_0' and flash_attn=False.*Leave"):
        LoadConfig(cache_type_v="q8_0", flash_attn=False)
    LoadConfig(cache_type_k="q8_0", flash_attn=False)
    LoadConfig(cache_type_v="f16", flash_attn=False)


def test_an_unknown_engine_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="engine must be"):
        LoadConfig(engine="turbo")  # type: ignore[arg-type]


def test_a_program_and_the_embedded_engine_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="server_path"):
        LoadConfig(engine="embedded", server_path="/usr/bin/llama-server")


@pytest.mark.parametrize("part", ["", ".", "here"])
def test_no_program_of_the_working_directory_is_run_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A relative part of PATH finds what lies in whatever folder the program is started."""
    program(tmp_path / part / "llama-server")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineNotFound, match="no llama"):
        find_engine("auto", None, {"PATH": part})
    elsewhere = program(tmp_path / "bin" / "llama-server")
    path = {"PATH": f"{part}{os.pathsep}{elsewhere.parent}"}
    assert find_engine("auto", None, path).argv == (str(elsewhere),)


@pytest.mark.parametrize("stream", [1, 2])
def test_help_without_an_end_is_not_kept(tmp_path: Path, stream: int) -> None:
    endless = tmp_path / "llama-server"
    endless.write_text(f"#!/bin/sh\nwhile :; do echo --model >&{stream}; done\n")
    endless.chmod(0o755)
    begun = time.monotonic()
    with pytest.raises(EngineNotFound, match=r"printed more than \d+ bytes"):
        find_engine("binary", endless).flags()
    assert time.monotonic() - begun < in_time(10)


def test_output_is_kept_from_its_end_and_a_killed_program_has_no_exit_code() -> None:
    code = "import sys; sys.stderr.write('e' * 10); sys.stdout.write('a' * 50 + 'end')"
    done = run_bounded([sys.executable, "-c", code], os.environ, PATIENCE, 20, 1000)
    assert done == Output(b"a" * 17 + b"end", b"e" * 10, 0)
    assert run_bounded([sys.executable, "-c", "exit(3)"], os.environ, PATIENCE, 9).returncode == 3
    hanging = "import time; print('so far', flush=True); time.sleep(1000)"
    done = run_bounded([sys.executable, "-c", hanging], os.environ, 1.0, 100)
    assert (done.stdout, done.returncode) == (b"so far\n", None)
