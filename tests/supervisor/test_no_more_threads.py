"""Where the system allows no more threads or processes: an error that says so, and nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import Server, State, load_model
from rocm_core.backend.pool import Pool
from rocm_core.config import Engine
from rocm_core.discover.refs import resolve_ref
from rocm_core.engine.installed.bounded import run_bounded
from rocm_core.errors import ServerStartError
from rocm_core.shared.protocol import Channel, error_from_line
from rocm_core.shared.registry import Registry
from rocm_core.shared.session import Session
from rocm_core.supervisor import child_process
from rocm_core.threads import beside_loop
from tests.support.engines import make_server
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import chat, say, script

# The beginning of each thread's name, and how many of them are allowed.
POINTS = [
    ("rocm-start", 0),
    ("rocm-spawner", 0),
    ("a process", 0),
    ("rocm-log", 0),
    ("rocm-log", 1),
    ("rocm-wait", 0),
    ("rocm-watch", 0),
]
SECONDS = 10.0


class Limit:
    """Refuses the threads whose names begin so, after some of them, or every process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.name, self.after = "", 0
        start, popen = threading.Thread.start, subprocess.Popen

        def limited_start(thread: threading.Thread) -> None:
            if self.name and thread.name.startswith(self.name) and self._refuses():
                raise RuntimeError("can't start new thread")
            start(thread)

        def limited_popen(*args: Any, **options: Any) -> Any:
            if self.name == "a process" and "stdin" in options and self._refuses():
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            return popen(*args, **options)

        patch.setattr(threading.Thread, "start", limited_start)
        patch.setattr(subprocess, "Popen", limited_popen)

    def _refuses(self) -> bool:
        self.after -= 1
        return self.after < 0


@pytest.fixture
def limit() -> Iterator[Limit]:
    with pytest.MonkeyPatch.context() as patch:
        yield Limit(patch)


def children() -> set[int]:
    """The processes of this program, without those that have ended and were reaped."""
    return {process.pid for process in psutil.Process().children()}


@pytest.mark.parametrize(("point", "after"), POINTS)
def test_a_start_fails_in_words_and_leaves_nothing(
    engine: Engine, point: str, after: int, limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "_spawner", None)
    server = make_server(engine)
    before, begun = children(), time.monotonic()
    limit.name = point
    for _ in range(2):  # nothing of the first one hangs the second
        limit.after = after
        with pytest.raises(ServerStartError, match="ulimit -u"):
            server.start()
        assert server.pid is None
        assert children() <= before
    limit.name = ""
    server.start()
    assert server.state is State.READY
    server.stop()
    assert time.monotonic() - begun < SECONDS


def test_a_model_fails_in_words(engine: Engine, limit: Limit) -> None:
    pool = Pool()
    key: Any = (resolve_ref(RECITER), make_server(engine).config)
    limit.name = "rocm-janitor"
    with pytest.raises(ServerStartError, match="ulimit -u"):
        pool.acquire(key)
    limit.name = ""
    assert isinstance(pool.acquire(key), Server)
    pool.release(key)


@pytest.mark.parametrize("after", [0, 1])
def test_what_a_program_prints_fails_in_words(limit: Limit, after: int) -> None:
    limit.name, limit.after = "rocm-pipe", after
    before, begun = children(), time.monotonic()
    with pytest.raises(ServerStartError, match="ulimit -u"):
        run_bounded(["/bin/sh", "-c", "sleep 60"], {}, 60.0, 100)
    assert children() <= before
    assert time.monotonic() - begun < SECONDS


def test_without_a_thread_beside_it_the_event_loop_does_it(
    scripted: FakeServer, limit: Limit
) -> None:
    """Every verb of asyncio, of the adapters too; ``asyncio.run`` ends as well."""
    script(scripted, chat(say("Hi")))
    limit.name, limit.after = "rocm-beside", 0

    async def use() -> list[str]:
        model = load_model(scripted.url)
        await model.aload()
        said = [token.text async for token in model.achat([{"role": "user", "content": "x"}])]
        await model.aclose()
        langchain, index = ChatRocm(base_url=scripted.url), RocmLLM(base_url=scripted.url)
        said += [(await langchain.ainvoke("x")).text, (await index.acomplete("x")).text]
        await langchain.aclose()
        await index.aclose()
        return said

    assert asyncio.run(use()) == ["Hi"] * 3
    assert limit.after < 0, "no thread was asked for"
    assert not any(thread.name.startswith("asyncio") for thread in threading.enumerate())


async def test_an_error_beside_the_event_loop_is_the_functions() -> None:
    def fail(what: str) -> None:
        raise RuntimeError(what)

    with pytest.raises(RuntimeError, match="mine"):
        await beside_loop(fail, "mine")
    assert await beside_loop(threading.current_thread) is not threading.current_thread()


async def test_who_is_cancelled_beside_the_event_loop_does_not_wait() -> None:
    release = threading.Event()
    task = asyncio.create_task(beside_loop(release.wait, SECONDS))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()


def test_a_subscriber_fails_in_words(engine: Engine, limit: Limit) -> None:
    server = make_server(engine)
    limit.name = "rocm-events"
    with pytest.raises(ServerStartError, match="ulimit -u"):
        server.subscribe(print)


@pytest.mark.parametrize("point", ["rocm-lease", "a process"])
def test_a_lease_fails_in_words(
    engine: Engine, point: str, limit: Limit, registry: Registry
) -> None:
    with load_model(RECITER, engine=engine, keep_alive=20, context_len=640) as model:
        limit.name, limit.after = point, 0
        with pytest.raises(ServerStartError, match="ulimit -u"):
            model.load()
        limit.name = ""
        said = "".join(token.text for token in model.chat([{"role": "user", "content": "Hello"}]))
    assert said == ANSWER


class _Daemon:
    """What a session calls of its daemon here."""

    uses = 0

    def note_use(self) -> None:
        self.uses += 1


@contextlib.contextmanager
def session() -> Iterator[tuple[Session, _Daemon, Channel]]:
    """A session with a client."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        daemon = _Daemon()
        yield Session(daemon, Channel(ours)), daemon, Channel(theirs)  # type: ignore[arg-type]


def test_a_client_that_cannot_be_asked_counts_as_one_that_uses_the_server(limit: Limit) -> None:
    with session() as (asked, daemon, client):
        limit.name = "rocm-ask"
        assert not asked.ask(5.0)
        assert (daemon.uses, asked.replied) == (1, True)
        limit.name = ""
        assert asked.ask(5.0)
        assert client.receive(SECONDS) == {"ask": "idle", "limit": 5.0}


def test_a_client_that_cannot_be_served_is_told(limit: Limit) -> None:
    with session() as (refused, _, client):
        refused.refuse(ServerStartError("no more threads"))
        line = client.receive(SECONDS)
        assert line is not None
        assert "no more threads" in str(error_from_line(line["error"]))
        assert client.receive(SECONDS) is None
