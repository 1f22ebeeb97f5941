"""What happens after a crash: restart at the next request, backoff, a limit, VRAM that returns."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, State, load_model, resolve_ref
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, ServerDied, ServerStopped
from rocm_core.gpu.vram_release import VramBaseline, vram_used
from rocm_core.server import Restarting
from rocm_core.supervisor.restart_policy import CrashHistory
from tests.support.gpu_trees import build
from tests.support.heard import Heard
from tests.support.models.reciter import RECITER
from tests.support.programs import wait_for

GIB = 2**30


class Clock:
    """A clock that goes on by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def crash(server: Server) -> int:
    pid = server.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.state is State.FAILED)
    return pid


# -- the policy -------------------------------------------------------------------------------


def test_the_backoff_doubles_up_to_a_cap_and_counts_from_the_crash() -> None:
    clock = Clock()
    history = CrashHistory(limit=20, window=10_000, clock=clock)
    delays = []
    for _ in range(9):
        history.add(ServerDied("it died"))
        delays.append(history.delay())
        clock.now += 100
        assert history.delay() == 0
    assert delays == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_five_restarts_within_the_window_and_then_none() -> None:
    clock = Clock()
    history = CrashHistory(clock=clock)
    for number in range(5):
        history.add(ServerDied(f"crash {number}\nwith a log"))
        assert history.refusal(ServerDied("x"), "on-failure") is None
    history.add(ServerDied("crash 5"))
    refusal = history.refusal(ServerDied("x", returncode=-11, log_tail=["last"]), "on-failure")
    assert refusal is not None
    assert all(f"crash {number}" in str(refusal) for number in range(6))
    assert (refusal.returncode, refusal.log_tail) == (-11, ("last",))
    clock.now += 301
    assert history.refusal(ServerDied("x"), "on-failure") is None


def test_restart_never_refuses_after_the_first_crash() -> None:
    history = CrashHistory()
    assert history.refusal(None, "never") is None
    history.add(ServerDied("crash"))
    assert history.refusal(ServerDied("crash"), "never") is not None
    with pytest.raises(ConfigError, match="restart must be"):
        LoadConfig(restart="always")  # type: ignore[arg-type]


# -- on the real engines ----------------------------------------------------------------------


def test_the_very_next_request_after_a_kill_succeeds(engine: Engine) -> None:
    """Without waiting until the death is noticed: the request meets a dying server."""
    with load_model(RECITER, engine=engine, context_len=800) as model:
        first = model.load() and model.connection.server.pid  # type: ignore[attr-defined]
        for _ in range(2):
            os.kill(model.connection.server.pid, signal.SIGKILL)  # type: ignore[attr-defined]
            tokens = list(model.generate("x", max_tokens=3))
            assert "".join(token.text for token in tokens) == "Hello! I am"
        assert model.connection.server.pid != first  # type: ignore[attr-defined]


async def test_the_very_next_async_request_after_a_kill_succeeds(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, context_len=801) as model:
        await model.aload()
        os.kill(model.connection.server.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        tokens = [token async for token in model.agenerate("x", max_tokens=3)]
        assert "".join(token.text for token in tokens) == "Hello! I am"


def test_a_request_that_overtakes_close_leaves_no_server(engine: Engine) -> None:
    model = load_model(RECITER, engine=engine, context_len=802)
    connection = model.connection
    model.close()
    with pytest.raises(ServerStopped, match="closed"):
        connection.ready()  # as a thread does that had asked just before
    assert connection.server.state is State.STOPPED  # type: ignore[attr-defined]


def test_a_restart_is_told_with_its_reason(server: Server) -> None:
    server.start()
    heard = Heard()
    with server.subscribe(heard):
        crash(server)
        server.start()
        told = heard.until(lambda event: isinstance(event, Restarting))[-1]
    assert isinstance(told, Restarting)
    assert (told.attempt, told.delay) == (1, 0.0)
    assert "SIGKILL" in told.reason


def test_with_restart_never_the_next_start_tells_of_the_crash(engine: Engine) -> None:
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine, restart="never"))
    server.start()
    crash(server)
    with pytest.raises(ServerDied, match="SIGKILL"):
        server.start()
    assert server.pid is None
    server.stop()  # taken in hand: from here on it is a new beginning
    server.start()
    assert server.client.health() == "ok"
    server.stop()


def test_too_many_crashes_leave_it_failed_with_the_history(engine: Engine) -> None:
    clock = Clock()
    history = CrashHistory(limit=2, clock=clock)
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine), crashes=history)
    for _ in range(3):
        server.start()
        crash(server)
        clock.now += 50  # past every backoff
    with pytest.raises(ServerDied, match="3 crashes within 300 s") as caught:
        server.start()
    assert server.state is State.FAILED
    assert caught.value.returncode == -signal.SIGKILL
    clock.now += 300
    server.start()
    assert server.is_running
    server.stop()


def test_stop_ends_a_backoff(engine: Engine) -> None:
    clock = Clock()
    server = Server(
        resolve_ref(RECITER), LoadConfig(engine=engine), crashes=CrashHistory(clock=clock)
    )
    for _ in range(4):
        server.start()
        crash(server)
        clock.now += 50
    server.start()
    crash(server)  # the fifth: a restart is due in 8 s of a clock that stands still
    heard, failures = Heard(), list[BaseException]()
    with server.subscribe(heard):
        from threading import Thread

        def start() -> None:
            try:
                server.start()
            except Exception as error:
                failures.append(error)

        thread = Thread(target=start)
        thread.start()
        told = heard.until(lambda event: isinstance(event, Restarting))[-1]
        assert isinstance(told, Restarting) and told.delay == 8.0
        server.stop()
        thread.join()
    assert "cancelled" in str(failures[0])


# -- VRAM -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "used"),
    [
        ("rx_7800_xt_second", 174 * 2**20),  # the desktop's integrated GPU does not count
        ("phoenix_780m", None),
        ("no_gpu", None),
    ],
)
def test_used_vram_is_that_of_cards_with_memory_of_their_own(
    tmp_path: Path, machine: str, used: int | None
) -> None:
    assert vram_used(build(machine, tmp_path)) == used


def test_a_load_waits_until_the_vram_is_back(tmp_path: Path) -> None:
    root = build("rx_7800_xt_first", tmp_path)
    card = root / "sys/class/drm/renderD128/device/mem_info_vram_used"
    before = card.read_text()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            card.write_text(before)

    mark = VramBaseline(lambda: vram_used(tmp_path))
    mark.record()
    card.write_text(str(9 * GIB))
    assert mark.await_release(pause)
    assert len(pauses) == 3
    assert mark.await_release(pause)
    assert len(pauses) == 3


def test_the_wait_for_vram_is_bounded_and_skipped_where_there_is_none() -> None:
    def no_pause(seconds: float) -> None:
        pytest.fail("there is nothing to wait for")

    assert VramBaseline(lambda: 9 * GIB).await_release(no_pause)  # not set: nothing was loaded
    readings = iter([GIB, None])
    lost = VramBaseline(lambda: next(readings))
    lost.record()
    assert lost.await_release(no_pause)
    rising = itertools.chain([GIB], itertools.repeat(9 * GIB))
    full = VramBaseline(lambda: next(rising), timeout=0.05)
    full.record()
    assert not full.await_release(lambda seconds: None)


def test_a_restart_waits_for_the_vram_of_the_dead_server(engine: Engine) -> None:
    readings = [GIB, 6 * GIB, 6 * GIB, GIB]
    asked: list[int] = []

    def used() -> int:
        asked.append(readings[min(len(asked), 3)])
        return asked[-1]

    config = LoadConfig(engine=engine)
    server = Server(resolve_ref(RECITER), config, vram_used=used)
    server.start()
    assert asked == [GIB]
    crash(server)
    server.start()
    assert asked == readings
    server.stop()
