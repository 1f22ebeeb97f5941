"""No process of ours starts in the working directory: what a folder brings along is not loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rocm_core.config import Engine as EngineName
from rocm_core.engine import embedded_start
from rocm_core.engine.embedded_start import ELSEWHERE, python_environment
from rocm_core.engine.installed.bounded import run_bounded
from rocm_core.engine.locate import Engine
from rocm_core.engine.probe import capabilities
from rocm_core.server import Server
from rocm_core.shared.registry import Registry
from rocm_core.supervisor.exits.kernel_log import read_kernel_log
from tests.support.engines import make_server
from tests.support.models import adapter
from tests.support.sharing import shared

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its programs look elsewhere")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def where(pid: int | None) -> str:
    return psutil.Process(pid).cwd()


def test_a_server_starts_elsewhere(engine: EngineName) -> None:
    with running(make_server(engine)) as server:
        assert where(server.pid) == ELSEWHERE


def test_a_shared_server_and_its_daemon_start_elsewhere(
    engine: EngineName, registry: Registry
) -> None:
    with running(shared(engine)) as server:
        assert where(server.pid) == where(psutil.Process(server.pid).ppid()) == ELSEWHERE


def test_relative_paths_of_options_are_those_of_the_caller(
    engine: EngineName, folder: Path
) -> None:
    adapter.build(folder / "a.gguf")
    with running(make_server(engine, lora=["a.gguf"])) as server:
        assert where(server.pid) == ELSEWHERE
        assert len(server.client.lora_adapters()) == 1


@pytest.mark.usefixtures("llama_server")
def test_relative_paths_of_extra_args_are_those_of_the_caller(folder: Path) -> None:
    """Which of them are paths is not known: who gives some is asked to give them here."""
    with running(make_server("binary", extra_args=["--path", "."])) as server:
        assert where(server.pid) == str(folder)


def test_what_a_program_can_do_is_asked_elsewhere(folder: Path) -> None:
    program = folder / "llama-server"
    program.write_text(f"#!/bin/sh\npwd >> {folder}/seen\necho '--model version: 9999 (abc)'\n")
    program.chmod(0o755)
    run_bounded([str(program), "--help"], os.environ, 10.0, 1000)
    capabilities(Engine("binary", (str(program),), "test"))
    assert set((folder / "seen").read_text().split()) == {ELSEWHERE}


@pytest.mark.parametrize("path", ["", ".", "./", ":"])
def test_no_dmesg_of_the_folder_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    program = folder / "dmesg"
    program.write_text(f"#!/bin/sh\necho > {folder}/ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", path)
    assert "cannot be run" in read_kernel_log().problem
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", embedded_start._SEARCHED)
def test_search_paths_have_no_part_that_depends_on_where_it_starts(folder: Path, name: str) -> None:
    given = {name: os.pathsep.join(["", "/a", ".", "./", "x/..", "mine", ""])}
    assert python_environment(given) == {name: f"/a{os.pathsep}{folder / 'mine'}"}
    assert python_environment({name: ""}) == {}


def test_caches_stay_where_the_caller_has_them(folder: Path) -> None:
    given = {"LLAMA_CACHE": "models", "HF_HOME": "~/hf", "A": "b"}
    home = str(Path("~/hf").expanduser())
    assert python_environment(given) == given | {
        "LLAMA_CACHE": str(folder / "models"),
        "HF_HOME": home,
    }
