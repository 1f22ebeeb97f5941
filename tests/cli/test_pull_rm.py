"""``llama-rocm models pull`` and ``models rm``, as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from rocm_core.shared.registry import Registry
from tests.support.models.reciter import RECITER
from tests.support.servers.hub import Hub
from tests.support.terminal import Terminal

COMMAND = [sys.executable, "-c", "from rocm_core.cli import main; raise SystemExit(main())"]
CONTENT = Path(RECITER).read_bytes()
FILES = {"org/tiny": ["tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"]}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only cache there is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("LLAMA_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS", "ROCM_MODEL_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def slow(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub whose first download stops in the middle."""
    with Hub(FILES, CONTENT, slow_at=len(CONTENT) // 2) as hub:
        for name, value in hub.environment(cache).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        yield hub


def test_ctrl_c_stops_a_pull_and_the_next_one_goes_on(slow: Hub, engine: Engine) -> None:
    pulled = [*COMMAND, "models", "pull", "org/tiny:Q4_K_M", "--engine", engine]
    half, whole = len(CONTENT) / 2 / 1024, len(CONTENT) / 1024
    with Terminal(pulled, columns=110) as terminal:
        terminal.wait_for(f"{half:.1f}/{whole:.1f} KiB")
        terminal.send("\x03")
        terminal.wait_for("stopped; `llama-rocm models pull org/tiny:Q4_K_M` goes on from here")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.screen
    slow.go_on.set()
    done = subprocess.run(pulled, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "downloading org/tiny:Q4_K_M\n"
    assert done.stdout.startswith("org/tiny:Q4_K_M is here: ")
    assert Path(done.stdout.split(": ")[1].strip()).read_bytes() == CONTENT
    assert slow.ranges[1].startswith("bytes=")


def put(cache: Path, *names: str) -> Path:
    snapshot = cache / "models--org--tiny/snapshots" / ("a" * 40)
    (cache / "models--org--tiny/blobs").mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True, exist_ok=True)
    for name in names:
        blob = cache / "models--org--tiny/blobs" / f"{name}.blob"
        blob.write_bytes(demo_model_path().read_bytes())
        (snapshot / name).symlink_to(blob)
    return snapshot


@pytest.mark.parametrize("typed", ["y", "n", ""])
def test_rm_asks_first(cache: Path, typed: str) -> None:
    snapshot = put(cache, "tiny-Q8_0.gguf")
    with Terminal([*COMMAND, "models", "rm", "tiny-Q8_0"], columns=200) as terminal:
        terminal.wait_for("delete tiny-Q8_0 (")
        assert str(snapshot / "tiny-Q8_0.gguf") in terminal.screen
        terminal.send(f"{typed}\r")
        assert terminal.wait() == (0 if typed == "y" else 1)
        assert ("deleted tiny-Q8_0" if typed == "y" else "kept tiny-Q8_0") in terminal.screen
    assert snapshot.exists() == (typed != "y")


def test_rm_without_a_terminal_needs_yes(cache: Path) -> None:
    snapshot = put(cache, "tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf")
    asked = [*COMMAND, "models", "rm", "org/tiny:q8_0"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, input="y\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "add --yes" in done.stderr
    assert main([*asked[3:], "--yes"]) == 0
    assert [path.name for path in snapshot.iterdir()] == ["tiny-Q4_K_M.gguf"]


def test_rm_names_what_it_cannot_choose_between_or_find(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(cache, "tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf")
    assert main(["models", "rm", "org/tiny", "--yes"]) == 1
    told = capsys.readouterr().err
    assert "2 models are named 'org/tiny'" in told and "tiny-Q4_K_M.gguf" in told
    assert main(["models", "rm", "tiny-Q8_1", "--yes"]) == 1
    assert "did you mean 'tiny-Q8_0'?" in capsys.readouterr().err


def test_rm_refuses_a_file_of_the_users_own(
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model.gguf").write_bytes(demo_model_path().read_bytes())
    monkeypatch.setenv("ROCM_MODEL_DIR", str(mine))
    assert main(["models", "rm", "model", "--yes"]) == 1
    assert "in none of the caches" in capsys.readouterr().err
    assert (mine / "model.gguf").exists()


def test_rm_names_the_server_that_has_the_model(
    cache: Path, engine: Engine, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = put(cache, "tiny-Q8_0.gguf")
    config = LoadConfig(engine=engine, keep_alive=60)
    server = Server(resolve_ref(snapshot / "tiny-Q8_0.gguf"), config)
    server.start()
    try:
        assert main(["models", "rm", "tiny-Q8_0", "--yes"]) == 1
        told = capsys.readouterr().err
        assert f"tiny-Q8_0 is in use: the shared server tiny-Q8_0 (pid {server.pid})" in told
        assert f"`llama-rocm stop {server.pid}` ends it" in told
    finally:
        server.stop()
    assert snapshot.exists()
    assert os.environ["XDG_RUNTIME_DIR"] == str(registry.directory.parent)


def test_a_directory_of_that_name_is_still_a_directory(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pull").mkdir()
    assert main(["models", "./pull"]) == 0
    assert "models pull org/repo[:quant]" in capsys.readouterr().out
