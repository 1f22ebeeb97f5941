"""A server that answers slowly becomes ready; one in which nothing moves is noticed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, State, resolve_ref
from rocm_core.errors import ServerStalled, ServerStopped
from rocm_core.supervisor.child_process import StallWatch
from rocm_core.supervisor.owned_process import OwnedServer
from tests.support.models.reciter import RECITER
from tests.support.programs import wait_for
from tests.support.servers.fake_engines import answering
from tests.support.servers.fake_server import PATIENCE


def made(program: Path, stall_timeout: float) -> Server:
    return Server(
        resolve_ref(RECITER), LoadConfig(server_path=program, stall_timeout=stall_timeout)
    )


@pytest.mark.slow
def test_a_healthy_server_that_answers_slowly_becomes_ready(tmp_path: Path) -> None:
    program = answering(tmp_path, """time.sleep(1.3); reply(200, '{"status": "ok"}')""")
    server = made(program, PATIENCE)
    server.start()
    assert server.state is State.READY
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "health",
    [
        "reply(503, loading)",
        "print('GET /health', file=sys.stderr, flush=True); reply(503, loading)",
        "time.sleep(0.3); reply(503, loading)",
        "time.sleep(600)",
    ],
    ids=["says that it loads", "and logs it", "and slowly", "does not answer"],
)
def test_our_questions_are_no_progress(tmp_path: Path, health: str) -> None:
    server = made(answering(tmp_path, health), 1.5)
    start = time.monotonic()
    with pytest.raises(ServerStalled, match=r"no progress for 1\.5 s"):
        server.start()
    assert time.monotonic() - start < PATIENCE / 2
    assert server.pid is None


@pytest.mark.slow
def test_a_server_that_works_is_waited_for(tmp_path: Path) -> None:
    """It computes, and answers that it loads, for longer than it may stand still."""
    working = "threading.Thread(target=work, daemon=True).start()"
    ready = """reply(200, '{"status": "ok"}') if time.time() > end else reply(503, loading)"""
    program = answering(tmp_path, ready)
    text = program.read_text().replace(
        "class Server(",
        "end = time.time() + 6\n"
        "def work():\n"
        "    while time.time() < end: sum(range(200_000)); time.sleep(0.02)\n"
        f"{working}\nclass Server(",
    )
    program.write_text(text)
    server = made(program, 2.5)
    server.start()
    assert server.state is State.READY
    server.stop()


def test_a_start_that_waits_for_an_answer_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[object] = []
    monkeypatch.setattr(OwnedServer, "watch", lambda handle, limit: watched.append(handle))
    server = made(answering(tmp_path, "time.sleep(600)"), 600)
    ended = threading.Event()

    def start() -> None:
        with pytest.raises(ServerStopped):
            server.start()
        ended.set()

    thread = threading.Thread(target=start)
    thread.start()
    wait_for(lambda: server.pid is not None)
    wait_for(lambda: _patience_of(server) > 2)  # it has not answered for a while
    began = time.monotonic()
    server.stop()
    thread.join(PATIENCE)
    assert ended.is_set()
    assert time.monotonic() - began < 2.0
    assert watched == []


def _patience_of(server: Server) -> float:
    handle = server._handle
    return float(getattr(handle, "_patience", 0.0))


class _Child:
    """What a child has done so far."""

    def __init__(self) -> None:
        self.did: list[object] = [0, 0.0, "10", "0", "5", "5", "100"]

    def activity(self) -> tuple[object, ...]:
        return tuple(self.did)


@pytest.mark.parametrize(
    ("field", "value", "counts"),
    [
        (0, 1, False),
        (1, 0.5, True),
        (2, "11", False),
        (3, "1", True),
        (4, "9", False),
        (4, "40", True),
        (6, "110", False),
        (6, "9000", True),
    ],
)
def test_what_counts_while_it_is_asked(field: int, value: object, counts: bool) -> None:
    child = _Child()
    watch = StallWatch(child)  # type: ignore[arg-type]
    watch._since -= 100
    child.did[field] = value
    watch.asked()
    watch.look()
    assert (watch.quiet < 50) is counts
    child.did[0] = 77
    watch.look()
    assert watch.quiet < 50
