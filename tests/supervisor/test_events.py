"""EventBus of a server, and the end of a start that nobody waits for any more."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, State, resolve_ref
from rocm_core.config import Engine
from rocm_core.errors import ServerDied, ServerStartError, ServerStopped
from rocm_core.server import LoadProgress, LogLine, ServerEvent, StateChanged
from rocm_core.supervisor.events import EventBus
from tests.support.heard import Heard
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, wait_for
from tests.support.servers.fake_engines import broken


def is_state(state: State) -> Callable[[ServerEvent], bool]:
    return lambda event: isinstance(event, StateChanged) and event.state is state


def states(events: list[ServerEvent]) -> list[State]:
    return [event.state for event in events if isinstance(event, StateChanged)]


def test_a_subscriber_hears_states_progress_and_log_in_order(server: Server) -> None:
    heard = Heard()
    with server.subscribe(heard):
        server.start()
        server.stop()
        events = heard.until(is_state(State.STOPPED))
    assert states(events) == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]
    assert any(isinstance(event, LogLine) for event in events)
    shares = [event.share for event in events if isinstance(event, LoadProgress)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_death_is_told_at_once_and_not_at_the_next_request(server: Server) -> None:
    heard = Heard()
    server.start()
    with server.subscribe(heard):
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        failed = heard.until(is_state(State.FAILED))[-1]
    assert isinstance(failed, StateChanged)
    assert isinstance(failed.failure, ServerDied)
    assert failed.failure.returncode == -signal.SIGKILL
    assert server.state is State.FAILED
    assert isinstance(server.failure, ServerDied)


def test_a_slow_and_a_raising_observer_harm_nobody(server: Server) -> None:
    hold, heard = threading.Event(), Heard()

    def slow(event: ServerEvent) -> None:
        hold.wait(PATIENCE)

    def raising(event: ServerEvent) -> None:
        raise RuntimeError("an observer of the test fails on purpose")

    with server.subscribe(slow), server.subscribe(raising), server.subscribe(heard):
        server.start()
        heard.until(is_state(State.READY))
        server.stop()
        heard.until(is_state(State.STOPPED))
        hold.set()


def test_a_closed_subscription_hears_no_more(server: Server) -> None:
    heard = Heard()
    subscription = server.subscribe(heard)
    subscription.close()
    server.start()
    server.stop()
    assert heard.events.empty()


async def test_events_are_an_async_iterator_on_any_loop(server: Server) -> None:
    seen: list[State] = []
    async with server.events() as events:
        await server.astart()
        async for event in events:
            if isinstance(event, StateChanged):
                seen.append(event.state)
            if seen and seen[-1] is State.READY:
                break
    assert seen == [State.STARTING, State.READY]
    with pytest.raises(StopAsyncIteration):
        while True:
            await anext(events)


def test_a_stream_of_a_closed_loop_is_forgotten(server: Server) -> None:
    streams = []

    async def listen() -> None:
        streams.append(server.events())

    asyncio.run(listen())
    server.start()
    server.stop()
    assert streams[0].mailbox.closed


def test_a_full_mailbox_loses_log_lines_and_never_a_state() -> None:
    observers, heard, go = EventBus(), Heard(), threading.Event()

    def patient(event: ServerEvent) -> None:
        go.wait(PATIENCE)
        heard(event)

    with observers.subscribe(patient):
        for number in range(10_000):
            observers.publish(LogLine(str(number)))
        observers.publish(StateChanged(State.FAILED))
        go.set()
        events = heard.until(is_state(State.FAILED))
    assert 1000 < len(events) < 5000


def test_observers_that_are_dropped_leave_nothing() -> None:
    async def drop() -> EventBus:
        observers = EventBus()
        observers.stream()
        gc.collect()
        assert len(observers._mailboxes) == 0
        return observers

    asyncio.run(drop())


# -- calling a start off ----------------------------------------------------------------------


def hanging(tmp_path: Path) -> LoadConfig:
    """An engine that never gets ready and never fails."""
    return LoadConfig(server_path=broken(tmp_path, "exec sleep 600"))


async def test_the_last_one_who_stops_waiting_cancels_the_start(tmp_path: Path) -> None:
    server = Server(resolve_ref(RECITER), hanging(tmp_path))
    first, second = (asyncio.create_task(server.astart()) for _ in range(2))
    while server.pid is None:
        await asyncio.sleep(0.005)
    pid = server.pid
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.sleep(0.05)
    assert server.state is State.STARTING  # the second one still waits
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.to_thread(wait_for, lambda: server.state is State.STOPPED)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_start_after_a_cancelled_one_begins_anew(engine: Engine, tmp_path: Path) -> None:
    server = Server(resolve_ref(RECITER), hanging(tmp_path))
    outcomes: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def start() -> None:
        try:
            server.start()
        except ServerStopped as error:
            outcomes.put(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: server.pid is not None)
    server.stop()
    for thread in threads:
        thread.join(PATIENCE)
    assert outcomes.qsize() == 4
    server.config = LoadConfig(engine=engine)
    server.start()
    assert server.client.health() == "ok"
    server.stop()


def test_ctrl_c_during_a_load_stops_the_server(tmp_path: Path) -> None:
    server = Server(resolve_ref(RECITER), hanging(tmp_path))

    def interrupt() -> None:
        wait_for(lambda: server.pid is not None)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        server.start()
    thread.join()
    wait_for(lambda: server.state is State.STOPPED)
    assert server.pid is None


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_while_the_starting_thread_is_made_leaves_no_start_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    server = Server(resolve_ref(RECITER), hanging(tmp_path))
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if thread.name == "rocm-start" and moment == "before":
            raise KeyboardInterrupt
        start(thread)
        if thread.name == "rocm-start":
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    monkeypatch.undo()
    server.stop()
    assert server.state is State.STOPPED
    assert server.pid is None


def test_a_thread_that_cannot_be_started_leaves_no_start_behind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(ServerStartError, match="ulimit -u"):
        server.start()
    monkeypatch.undo()
    server.start()
    assert server.state is State.READY


def test_progress_is_told_in_the_callers_own_thread(server: Server) -> None:
    told: list[threading.Thread] = []
    server.start(lambda share: told.append(threading.current_thread()))
    assert set(told) == {threading.main_thread()}


def test_each_waiting_thread_gets_an_exception_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("no model")
    server = Server(resolve_ref(path), LoadConfig())
    errors: list[BaseException] = []

    def start() -> None:
        try:
            server.start()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(error) for error in errors}) == 4
