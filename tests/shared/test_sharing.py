"""Programs, models and threads that share one server."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rocm_core import State, load_model
from rocm_core.config import Engine
from rocm_core.shared.admin import list_servers
from rocm_core.shared.registry import Registry
from tests.support.engines import wrapped
from tests.support.models.reciter import RECITER
from tests.support.programs import Program, runs, wait_for
from tests.support.sharing import NOTEBOOK, say_hello, shared


@pytest.mark.slow
def test_ten_programs_at_once_make_one_server_and_any_one_survives_the_others(
    engine: Engine, start: Callable[..., Program], registry: Registry
) -> None:
    # Short streams: four slots serve ten programs, and nobody reads on.
    notebooks = [start(NOTEBOOK, engine, "10m", RECITER, "400") for _ in range(10)]
    pids = {notebook.line() for notebook in notebooks}
    assert len(pids) == 1
    assert len(list_servers(registry)) == 1
    random.Random(4).shuffle(notebooks)
    last = notebooks.pop()
    last.say("stream")
    for notebook in notebooks:
        notebook.kill()
    for _ in range(5):
        assert last.line() == "streaming"
        last.say("stream")
    assert last.line() == "streaming"
    assert runs(int(pids.pop()))


def test_unequal_options_get_a_server_each(engine: Engine, registry: Registry) -> None:
    servers = [shared(engine, context_len=n) for n in (512, 1024)]
    for server in servers:
        server.start()
    assert servers[0].pid != servers[1].pid
    assert [server.client.props().n_ctx for server in servers] == [512, 1024]
    assert len(list_servers(registry)) == 2
    for server in servers:
        server.stop()


def test_models_of_one_program_share_it_too(engine: Engine, registry: Registry) -> None:
    with load_model(RECITER, engine=engine, keep_alive=60) as first:
        first.load()
        with load_model(RECITER, engine=engine, keep_alive="30s") as second:
            second.load()
            pids = {m.connection.server.pid for m in (first, second)}  # type: ignore[attr-defined]
    assert len(pids) == 1
    facts = list_servers(registry)[0].facts
    assert facts["pid"] in pids
    assert facts["keep_alive"] == 30  # the last one's word


def test_a_server_and_a_model_of_equal_options_share_it(engine: Engine, registry: Registry) -> None:
    """``Server`` and ``load_model`` choose the backend alike, so the keys are equal."""
    server = shared(engine)
    server.start()
    with load_model(RECITER, engine=engine, keep_alive=60) as model:
        model.load()
        assert model.connection.server.pid == server.pid  # type: ignore[attr-defined]
    assert len(list_servers(registry)) == 1
    server.stop()


def test_on_a_tcp_port_it_is_shared_as_well(engine: Engine) -> None:
    first, second = shared(engine, port=0), shared(engine, port=0)
    first.start()
    second.start()
    assert first.url == second.url is not None
    assert first.pid == second.pid
    first.stop()
    second.stop()


def test_threads_that_attach_at_once_share_one_lease(engine: Engine, registry: Registry) -> None:
    server = shared(engine)
    threads = [threading.Thread(target=server.start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list_servers(registry)[0].facts["clients"] == 1
    server.stop()
    wait_for(lambda: list_servers(registry)[0].facts["clients"] == 0)


def test_a_program_that_gets_another_build_gets_a_server_of_it(
    engine: Engine, registry: Registry, tmp_path: Path
) -> None:
    """An upgrade while a shared server runs: who holds it keeps it, who comes later gets the new.

    A server that was killed is started again from the new build, by a daemon of its own.
    """
    options = {"server_path": wrapped(engine, tmp_path, "")}
    before = shared("binary", **options)
    before.start()
    wrapped(engine, tmp_path, "# upgraded")
    after = shared("binary", **options)
    after.start()
    assert after.pid != before.pid
    assert {server.facts["pid"] for server in list_servers(registry)} == {after.pid, before.pid}
    assert say_hello(before) == say_hello(after) == "Hello! I am"
    killed = before.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: before.state is State.FAILED)
    before.start()
    assert before.pid == after.pid
    for server in (before, after):
        server.stop()


def test_ps_names_the_build(engine: Engine, registry: Registry) -> None:
    server = shared(engine)
    server.start()
    (listed,) = list_servers(registry)
    assert listed.facts["build"] == server.client.props().build_info != ""
    server.stop()
