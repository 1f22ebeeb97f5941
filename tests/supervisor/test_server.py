"""The life of a supervised server, on both real engines."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from rocm_core import GenerateConfig, LoadConfig, RocmError, Server, State, resolve_ref
from rocm_core.config import Engine
from rocm_core.discover.refs import ModelRef
from rocm_core.errors import (
    AuthenticationError,
    EngineNotFound,
    InvalidGGUF,
    ModelNotFound,
    PortInUse,
    ServerDied,
    ServerStalled,
    ServerStartError,
    ServerStopped,
)
from tests.support.models.reciter import RECITER
from tests.support.programs import wait_for

LONG = GenerateConfig(max_tokens=6000, ignore_eos=True)


def make(engine: Engine, ref: str | Path = RECITER, **options: Any) -> Server:
    return Server(resolve_ref(ref), LoadConfig(engine=engine, **options))


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def state_of(server: Server) -> State:
    # A call, so that the type checker does not take the state for a constant.
    return server.state


def test_start_answer_stop(server: Server) -> None:
    assert state_of(server) is State.STOPPED
    server.start()
    pid = server.pid
    assert state_of(server) is State.READY
    assert pid is not None
    assert server.client.health() == "ok"
    text = "".join(e.text for e in server.client.completion("x", GenerateConfig(max_tokens=3)))
    assert text == "Hello! I am"
    server.stop()
    assert state_of(server) is State.STOPPED
    assert gone(pid)


def test_it_listens_on_a_private_unix_socket_and_removes_it(server: Server) -> None:
    server.start()
    path = Path(server.client.uds or "")
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert server.url is None
    server.stop()
    assert not path.parent.exists()


def test_the_key_is_neither_in_argv_nor_in_repr(server: Server) -> None:
    server.start()
    key = server.api_key
    assert key
    process = psutil.Process(server.pid)
    assert not any(key in argument for argument in process.cmdline())
    assert key not in repr(server) + repr(server.client)
    assert key not in "".join(server.log_tail())


def test_inherited_server_options_do_not_leak_in(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "512")
    monkeypatch.setenv("LLAMA_API_KEY", "theirs")
    server.start()
    assert server.client.props().n_ctx == 8192


def test_a_request_without_the_key_is_refused(engine: Engine) -> None:
    from rocm_core import Client

    server = make(engine, port=0)
    server.start()
    assert server.url
    try:
        for key in (None, "wrong"):
            with (
                Client(server.url, api_key=key) as stranger,
                pytest.raises(AuthenticationError, match="api_key"),
            ):
                stranger.props()
    finally:
        server.stop()


def test_context_length_is_per_slot_and_read_back(engine: Engine) -> None:
    server = make(engine, context_len=1024, parallel=3)
    server.start()
    props = server.client.props()
    slots = server.client.slots()
    server.stop()
    assert (props.n_ctx, props.total_slots) == (1024, 3)
    assert [slot["n_ctx"] for slot in slots] == [1024] * 3


def test_many_callers_wait_on_one_start(server: Server) -> None:
    pids: list[int | None] = []

    def start() -> None:
        server.start()
        pids.append(server.pid)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 8
    assert len(set(pids)) == 1


def test_many_callers_get_the_same_failure(engine: Engine, tmp_path: Path) -> None:
    server = make(engine, truncated(tmp_path))
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


async def test_astart_does_not_block_the_loop(server: Server) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.create_task(tick())
    await server.astart()
    ticker.cancel()
    assert ticks >= 3
    assert await server.aclient.health() == "ok"


def test_stop_during_a_start_calls_it_off(engine: Engine) -> None:
    server = make(engine)
    outcome: list[BaseException] = []

    def start() -> None:
        try:
            server.start()
        except RocmError as error:
            outcome.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    while state_of(server) is not State.STARTING:
        time.sleep(0.0005)
    server.stop()
    thread.join()
    assert isinstance(outcome[0], ServerStopped)
    assert state_of(server) is State.STOPPED
    assert server.pid is None


def test_it_can_be_started_again(server: Server) -> None:
    server.start()
    first = server.pid
    server.stop()
    server.start()
    assert server.pid != first
    assert server.client.health() == "ok"


def test_stop_with_a_stream_in_flight_is_quick_and_told_to_the_reader(server: Server) -> None:
    server.start()
    stream = server.client.completion("x", LONG)
    next(stream)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 2
    with pytest.raises(ServerStopped):
        list(stream)


# -- failures ---------------------------------------------------------------------------------


def truncated(tmp_path: Path) -> Path:
    path = tmp_path / "truncated.gguf"
    path.write_bytes(Path(RECITER).read_bytes()[:-20000])
    return path


def test_a_missing_file_is_reported_before_anything_starts(engine: Engine, tmp_path: Path) -> None:
    server = make(engine)
    server.ref = ModelRef("file", str(tmp_path / "gone.gguf"), "gone")
    with pytest.raises(ModelNotFound, match=r"gone\.gguf"):
        server.start()
    assert server.state is State.FAILED
    assert server.pid is None


def test_a_file_that_is_no_gguf_is_reported(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("hello, I am a text file")
    with pytest.raises(InvalidGGUF, match=r"not a GGUF file.*hell"):
        make(engine, path).start()


def test_a_truncated_gguf_fails_with_code_cause_and_log(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ServerStartError) as caught:
        make(engine, truncated(tmp_path)).start()
    error = caught.value
    assert error.returncode == 1
    assert "cut short" in str(error)
    assert "Remedy" in str(error)
    assert any("within the file bounds" in line for line in error.log_tail)
    assert error.command


def test_an_unknown_flag_is_named(engine: Engine) -> None:
    with pytest.raises(ServerStartError, match="does not know the argument --frobnicate"):
        make(engine, extra_args=["--frobnicate"]).start()


def test_a_context_that_does_not_fit_memory_is_explained(engine: Engine) -> None:
    # The demo model's KV cache takes 256 bytes per token: 4 GiB here, where 3 are allowed.
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, hard))
    try:
        with pytest.raises(ServerStartError, match="not enough memory.*Remedy: lower context_len"):
            make(engine, context_len=2**24, extra_args=oversize(engine)).start()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def oversize(engine: Engine) -> list[str]:
    # llama-server would otherwise shrink the context to what fits.
    return ["--fit", "off"] if engine == "binary" else []


def test_a_stall_is_told_apart_from_a_slow_load(tmp_path: Path) -> None:
    silent = tmp_path / "llama-server"
    silent.write_text("#!/bin/sh\n[ $1 = --help ] && echo '--model x' && exit\nexec sleep 600\n")
    silent.chmod(0o755)
    server = Server(resolve_ref(RECITER), LoadConfig(server_path=silent, stall_timeout=0.3))
    with pytest.raises(ServerStalled, match="no progress for 0.3 s"):
        server.start()
    assert server.pid is None


def test_a_silent_exit_is_reported_with_its_code(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.write_text("#!/bin/sh\n[ $1 = --help ] && echo '--model x' && exit\nexit 7\n")
    program.chmod(0o755)
    with pytest.raises(ServerStartError, match="exited with code 7") as caught:
        Server(resolve_ref(RECITER), LoadConfig(server_path=program)).start()
    assert caught.value.returncode == 7


def test_a_wrong_server_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFound, match="does not exist"):
        Server(resolve_ref(RECITER), LoadConfig(server_path=tmp_path / "none")).start()


# -- ports ------------------------------------------------------------------------------------


def test_a_given_port_is_used_and_a_taken_one_reported(engine: Engine) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortInUse):
            make(engine, port=port).start()
    server = make(engine, port=port)
    server.start()
    assert server.url == f"http://127.0.0.1:{port}"
    server.stop()


def test_a_lost_port_race_is_retried(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from rocm_core.supervisor import owned_process

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        real, asked = owned_process._free_port, list[int]()

        def free_port() -> int:
            asked.append(taken if not asked else real())
            return asked[-1]

        monkeypatch.setattr(owned_process, "_free_port", free_port)
        server = make(engine, port=0)
        server.start()
        assert len(asked) == 2
        assert server.url == f"http://127.0.0.1:{asked[1]}"
        server.stop()


def test_a_stranger_on_our_port_is_not_taken_for_ours(engine: Engine) -> None:
    """Another llama-server answers /health on the port: ours must not be believed ready."""
    other = make(engine, port=0)
    other.start()
    port = int((other.url or "").rpartition(":")[2])
    with pytest.raises(PortInUse):
        make(engine, port=port).start()
    assert other.client.health() == "ok"
    other.stop()


# -- death ------------------------------------------------------------------------------------


def test_killed_before_a_request_the_next_start_replaces_it(server: Server) -> None:
    server.start()
    first = server.pid
    assert first
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: server.state is State.FAILED)
    server.start()
    assert server.pid != first
    assert server.client.health() == "ok"


def test_killed_in_mid_stream_raises_with_signal_and_log(server: Server) -> None:
    server.start()
    stream = server.client.completion("x", LONG)
    next(stream)
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerDied, match="SIGKILL") as caught:
        list(stream)
    assert caught.value.returncode == -signal.SIGKILL
    assert caught.value.log_tail
    assert server.state is State.FAILED


async def test_killed_in_mid_async_stream_raises(server: Server) -> None:
    await server.astart()
    stream = server.aclient.completion("x", LONG)
    await anext(stream)
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerDied, match="SIGKILL"):
        async for _ in stream:
            pass


def test_killed_between_requests_the_next_request_says_so(server: Server) -> None:
    server.start()
    client = server.client
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerDied, match="SIGKILL"):
        for _ in range(100):
            client.health()


# -- what else it owns ------------------------------------------------------------------------


def test_log_lines_go_to_logging_and_to_the_tail(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "rocm_core.server"):
        server.start()
        # llama.cpp logs from a thread of its own: the line may come after the answer.
        wait_for(lambda: any("listening on" in line for line in server.log_tail()))
    assert any("listening on" in record.getMessage() for record in caplog.records)


def test_metrics_are_the_servers_own(server: Server) -> None:
    server.start()
    list(server.client.completion("x", GenerateConfig(max_tokens=5)))
    assert server.get_metrics().counters["tokens_predicted_total"] == 5


def test_a_forked_copy_neither_uses_nor_ends_the_server(server: Server) -> None:
    server.start()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if not server.is_running else 2
            server.stop()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert server.client.health() == "ok"


def test_leftovers_of_dead_programs_are_swept(tmp_path: Path, monkeypatch: Any) -> None:
    from rocm_core.supervisor import socket_dir

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    dead, young = tmp_path / "llama-rocm-dead", tmp_path / "llama-rocm-young"
    for directory in (dead, young):
        directory.mkdir()
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(directory / "s.sock"))
    os.utime(dead, (0, 0))
    made = socket_dir.create()
    assert made.parent == tmp_path
    assert not dead.exists()
    assert young.exists()


def test_a_program_that_cannot_start_leaves_no_directory(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    program = tmp_path / "srv"
    program.write_text("#!/bin/sh\n[ $1 = --help ] && echo '--model x' && exit\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ServerStartError):
        Server(resolve_ref(RECITER), LoadConfig(server_path=program)).start()
    assert list(tmp_path.glob("llama-rocm-*")) == []
