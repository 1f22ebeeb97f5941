"""Servers that outlive their program: found again, stopped when idle."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from rocm_core import State
from rocm_core.config import Engine
from rocm_core.errors import ServerStartError, ServerStopped
from rocm_core.shared.admin import list_servers, stop_server
from rocm_core.shared.protocol import VERSION, Channel, error_to_line
from rocm_core.shared.registry import Registry
from tests.support.engines import LONG
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, Program, runs, wait_for
from tests.support.sharing import NOTEBOOK, fails_to_start, say_hello, shared, shared_key


@pytest.mark.slow
def test_a_restarted_kernel_finds_its_server_and_it_ends_when_idle(
    engine: Engine, start: Callable[..., Program], registry: Registry
) -> None:
    notebook = start(NOTEBOOK, engine, "60s", RECITER)
    pid = int(notebook.line())
    notebook.kill()
    for keep_alive in ("60s", "1s"):
        kernel = start(NOTEBOOK, engine, keep_alive, RECITER)
        assert int(kernel.line()) == pid
        kernel.kill()
    wait_for(lambda: not runs(pid))
    wait_for(lambda: list_servers(registry) == [])
    assert list(registry.directory.iterdir()) == []


@pytest.mark.slow
def test_a_notebook_that_is_merely_open_does_not_keep_a_server(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine, keep_alive=0.5)
    server.start()
    pid = server.pid
    wait_for(lambda: server.state is State.STOPPED)
    wait_for(lambda: not runs(pid))
    assert say_hello(server) == "Hello! I am"  # and a later request starts it again
    assert server.pid != pid
    server.stop()


@pytest.mark.slow
def test_a_stream_under_way_keeps_the_server(engine: Engine, start: Callable[..., Program]) -> None:
    notebook = start(NOTEBOOK, engine, "1s", RECITER)
    pid = int(notebook.line())
    end = time.monotonic() + 3
    while time.monotonic() < end:
        notebook.say("stream")
        assert notebook.line() == "streaming"
        assert runs(pid)
    notebook.say("rest")
    assert notebook.line() == "resting"
    wait_for(lambda: not runs(pid))


def test_the_registry_of_a_stopped_server_is_empty_and_requests_are_told(
    engine: Engine, registry: Registry
) -> None:
    server = shared(engine)
    server.start()
    pid = server.pid
    stream = server.client.completion("x", LONG)
    next(stream)
    stop_server(list_servers(registry)[0], registry)
    assert not runs(pid)
    assert list(registry.directory.iterdir()) == []
    with pytest.raises(ServerStopped):
        list(stream)
    wait_for(lambda: server.state is State.STOPPED)
    server.stop()


def test_who_waits_for_a_load_answers_the_question_whether_it_is_idle(registry: Registry) -> None:
    """An answer owed is an answer never asked for again: the server would end while in use."""
    server = shared("embedded")
    key = shared_key(server)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(registry.path(key, "sock")))
        listener.listen(1)
        client = threading.Thread(target=fails_to_start, args=(server,))
        client.start()
        daemon = Channel(listener.accept()[0])
        assert daemon.receive(PATIENCE) == {
            "op": "acquire",
            "protocol": VERSION,
            "keep_alive": 60,
        }
        daemon.send(**{"is": "welcome", "protocol": VERSION})
        daemon.send(ask="idle", limit=60.0)
        assert daemon.receive(PATIENCE) == {"idle": 0.0}
        error = error_to_line(ServerStartError("enough"))
        daemon.send(**{"is": "failed", "error": error})
        client.join(PATIENCE)
        assert not client.is_alive()
        daemon.close()
    registry.path(key, "sock").unlink()
    server.stop()
