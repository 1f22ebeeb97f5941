"""Starts that fail: what is raised, in which words, and what is left behind."""

from __future__ import annotations

import resource
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from rocm_core import LoadConfig, Server, State, resolve_ref
from rocm_core.config import Engine
from rocm_core.discover.refs import ModelRef
from rocm_core.errors import (
    EngineNotFound,
    InvalidGGUF,
    ModelNotFound,
    PortInUse,
    ServerStalled,
    ServerStartError,
)
from tests.support.engines import make_server
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import broken


def truncated(tmp_path: Path) -> Path:
    path = tmp_path / "truncated.gguf"
    path.write_bytes(Path(RECITER).read_bytes()[:-20000])
    return path


def test_many_callers_get_the_same_failure(engine: Engine, tmp_path: Path) -> None:
    server = make_server(engine, truncated(tmp_path))
    failures: list[BaseException] = []

    def start() -> None:
        try:
            server.start()
        except ServerStartError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 4
    assert server.state is State.FAILED


def test_a_missing_file_is_reported_before_anything_starts(engine: Engine, tmp_path: Path) -> None:
    server = make_server(engine)
    server.ref = ModelRef("file", str(tmp_path / "gone.gguf"), "gone")
    with pytest.raises(ModelNotFound, match=r"gone\.gguf"):
        server.start()
    assert server.state is State.FAILED
    assert server.pid is None


def test_a_file_that_is_no_gguf_is_reported(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("hello, I am a text file")
    with pytest.raises(InvalidGGUF, match=r"not a GGUF file.*hell"):
        make_server(engine, path).start()


def test_a_truncated_gguf_fails_with_code_cause_and_log(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ServerStartError) as caught:
        make_server(engine, truncated(tmp_path)).start()
    error = caught.value
    assert error.returncode == 1
    assert "cut short" in str(error)
    assert "Remedy" in str(error)
    assert any("within the file bounds" in line for line in error.log_tail)
    assert error.command


def test_an_unknown_flag_is_named(engine: Engine) -> None:
    with pytest.raises(ServerStartError, match="does not know the argument --frobnicate"):
        make_server(engine, extra_args=["--frobnicate"]).start()


def test_a_context_that_does_not_fit_memory_is_explained(engine: Engine) -> None:
    # The demo model's KV cache takes 256 bytes per token: 4 GiB here, where 3 are allowed.
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, hard))
    try:
        with pytest.raises(ServerStartError, match="not enough memory.*Remedy: lower context_len"):
            make_server(engine, context_len=2**24, extra_args=oversize(engine)).start()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def oversize(engine: Engine) -> list[str]:
    # llama-server would otherwise shrink the context to what fits.
    return ["--fit", "off"] if engine == "binary" else []


def test_a_stall_is_told_apart_from_a_slow_load(tmp_path: Path) -> None:
    silent = broken(tmp_path, "exec sleep 600")
    server = Server(resolve_ref(RECITER), LoadConfig(server_path=silent, stall_timeout=0.3))
    with pytest.raises(ServerStalled, match="no progress for 0.3 s"):
        server.start()
    assert server.pid is None


def test_a_silent_exit_is_reported_with_its_code(tmp_path: Path) -> None:
    program = broken(tmp_path, "exit 7")
    with pytest.raises(ServerStartError, match="exited with code 7") as caught:
        Server(resolve_ref(RECITER), LoadConfig(server_path=program)).start()
    assert caught.value.returncode == 7


def test_a_wrong_server_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFound, match="does not exist"):
        Server(resolve_ref(RECITER), LoadConfig(server_path=tmp_path / "none")).start()


# -- ports ----------------------------------------------------------------------------------


def test_a_given_port_is_used_and_a_taken_one_reported(engine: Engine) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortInUse):
            make_server(engine, port=port).start()
    server = make_server(engine, port=port)
    server.start()
    assert server.url == f"http://127.0.0.1:{port}"
    server.stop()


def test_a_lost_port_race_is_retried(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from rocm_core.supervisor import socket_dir

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        real, asked = socket_dir._free_port, list[int]()

        def free_port(host: str) -> int:
            asked.append(taken if not asked else real(host))
            return asked[-1]

        monkeypatch.setattr(socket_dir, "_free_port", free_port)
        server = make_server(engine, port=0)
        server.start()
        assert len(asked) == 2
        assert server.url == f"http://127.0.0.1:{asked[1]}"
        server.stop()


def test_a_stranger_on_our_port_is_not_taken_for_ours(engine: Engine) -> None:
    """Another llama-server answers /health on the port: ours must not be believed ready."""
    other = make_server(engine, port=0)
    other.start()
    port = int((other.url or "").rpartition(":")[2])
    with pytest.raises(PortInUse):
        make_server(engine, port=port).start()
    assert other.client.health() == "ok"
    other.stop()


def test_a_program_that_cannot_start_leaves_no_directory(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    program = broken(tmp_path, "exit 1")
    with pytest.raises(ServerStartError):
        Server(resolve_ref(RECITER), LoadConfig(server_path=program)).start()
    assert list(tmp_path.glob("llama-rocm-*")) == []
