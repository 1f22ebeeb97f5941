"""The life of a supervised server, on both real engines."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from rocm_core import GenerateConfig, RocmError, Server, State
from rocm_core.config import Engine
from rocm_core.errors import AuthenticationError, ServerStopped
from tests.support.engines import LONG, make_server, state_of
from tests.support.programs import wait_for


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


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

    server = make_server(engine, port=0)
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
    server = make_server(engine, context_len=1024, parallel=3)
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
    server = make_server(engine)
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
