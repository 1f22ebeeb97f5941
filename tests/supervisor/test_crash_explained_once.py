"""A crash is explained once: by the thread that sees it, and not under the supervisor's lock."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rocm_core import GenerateConfig, LoadConfig, Server, State, resolve_ref
from rocm_core.config import Engine
from rocm_core.diagnosis import explain
from rocm_core.diagnosis.explain import Failure, explain_failure
from rocm_core.engine.installed.choice import logged_choice
from rocm_core.errors import RocmError, ServerDied, ServerStartError
from rocm_core.server import Engine as Found
from rocm_core.supervisor import server as supervisor
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, wait_for

LONG = GenerateConfig(max_tokens=6000, ignore_eos=True)


class Searches:
    """Every search of a log for a known failure: its thread, and whether it held the lock."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.threads: list[str] = []
        self.under_lock: list[bool] = []

    def __call__(
        self,
        log: Sequence[str],
        returncode: int | None,
        environment: Mapping[str, str],
        kernel: Sequence[str] | None,
    ) -> Failure | None:
        self.threads.append(threading.current_thread().name)
        self.under_lock.append(self._server._change._is_owned())  # type: ignore[attr-defined]
        return explain_failure(log, returncode, environment, kernel)


def watched(server: Server, monkeypatch: pytest.MonkeyPatch) -> Searches:
    searches = Searches(server)
    monkeypatch.setattr(explain, "explain_failure", searches)
    return searches


def test_a_crash_under_several_requests_is_explained_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = watched(server, monkeypatch)
    server.start()
    streams = [server.client.completion("x", LONG) for _ in range(4)]
    for stream in streams:
        next(stream)
    pid = server.pid
    assert pid

    def read(number: int) -> ServerDied:
        with pytest.raises(ServerDied, match="SIGKILL") as caught:
            list(streams[number])
        return caught.value

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(read, number) for number in range(4)]
        os.kill(pid, signal.SIGKILL)
        errors = [job.result(PATIENCE) for job in asked]
    with pytest.raises(ServerDied, match="SIGKILL") as caught:
        server.client.health()
    errors.append(caught.value)
    assert len({id(error) for error in errors}) == 5  # each raised with a traceback of its own
    assert {error.log_tail for error in errors} == {errors[0].log_tail}
    assert searches.threads == [f"rocm-wait-{pid}"]
    assert searches.under_lock == [False]


def test_a_failed_start_is_explained_once_to_all_who_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LoadConfig(engine=engine, extra_args=["--frobnicate"])
    server = Server(resolve_ref(RECITER), config)
    searches = watched(server, monkeypatch)
    outcomes: list[RocmError] = []

    def start() -> None:
        try:
            server.start()
        except ServerStartError as error:
            outcomes.append(error)

    waited_for = threading.Event()

    def find(*args: Any) -> Found:
        assert waited_for.wait(PATIENCE)
        return logged_choice(*args)

    monkeypatch.setattr(supervisor, "logged_choice", find)
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: server._startup is not None and len(server._startup.waiters) == 4)
    waited_for.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(outcomes) == 4
    assert all("does not know the argument" in str(error) for error in outcomes)
    (name,) = searches.threads
    assert name.startswith("rocm-wait-")
    assert searches.under_lock == [False]


def test_what_is_stopped_on_purpose_is_not_explained(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = watched(server, monkeypatch)
    server.start()
    server.stop()
    wait_for(lambda: server.state is State.STOPPED)
    assert searches.threads == []
