"""The queue in front of a server: fair, bounded, and clean whatever happens to who waits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rocm_core import Deadline, Timeouts, load_model
from rocm_core.backend.request_queue import Limits, RequestLimiter, RequestQueue, queue_for
from rocm_core.config import Engine
from rocm_core.errors import RequestTimeout, ServerBusy, ServerStopped
from rocm_core.model.text_model import TextModel
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.programs import wait_for
from tests.support.servers.fake_server import PATIENCE

HELLO = [{"role": "user", "content": "Hello"}]


def limiter(
    of: RequestQueue | None = None, places: int | None = 1, **limits: Any
) -> RequestLimiter:
    made = RequestLimiter(of or RequestQueue())
    made.limits = Limits(places, **limits)
    return made


def clean(way: RequestLimiter) -> bool:
    return (way.queue.in_flight, way.queue.waiting, len(way.tokens)) == (0, 0, 0)


@contextlib.contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_threads_and_event_loops_wait_in_one_fair_queue() -> None:
    way, order = limiter(), list[int]()

    def blocking(number: int) -> None:
        with way.ticket():
            order.append(number)

    async def waiting(number: int) -> None:
        async with way.ticket():
            order.append(number)

    with ThreadPoolExecutor(6) as pool, loop_in_a_thread() as one, loop_in_a_thread() as two:
        with way.ticket():
            for number in range(12):
                if number % 2:
                    pool.submit(blocking, number)
                else:
                    loop = one if number % 4 else two
                    asyncio.run_coroutine_threadsafe(waiting(number), loop)
                wait_for(lambda number=number: way.queue.waiting == number + 1)  # type: ignore[misc]
        wait_for(lambda: len(order) == 12 and clean(way))
    assert order == list(range(12))


def test_nobody_overtakes_even_when_a_place_is_free_for_a_moment() -> None:
    way, order = limiter(), list[str]()

    def blocking(name: str) -> None:
        with way.ticket():
            order.append(name)

    first = way.ticket()
    with ThreadPoolExecutor(1) as pool:
        with first:
            pool.submit(blocking, "waiting")
            wait_for(lambda: way.queue.waiting == 1)
        with way.ticket():
            order.append("late")
    assert order == ["waiting", "late"]


def test_a_full_queue_is_busy_at_once_and_says_what_to_do() -> None:
    way = limiter(queue=0)
    busy = pytest.raises(ServerBusy, match=r"1 requests are under way.*max_queue=0")
    with way.ticket(), busy, way.ticket():
        raise AssertionError
    assert clean(way)


def test_a_turn_that_does_not_come_in_time_is_busy() -> None:
    way = limiter(timeout=0.05)

    async def late() -> None:
        async with way.ticket():
            raise AssertionError

    with way.ticket():
        with pytest.raises(ServerBusy, match=r"0\.05 s \(queue_timeout\)"), way.ticket():
            raise AssertionError
        with pytest.raises(ServerBusy, match="queue_timeout"):
            asyncio.run(late())
        assert way.queue.waiting == 0
    assert clean(way)


async def test_a_cancelled_task_leaves_the_queue_and_its_turn_goes_on() -> None:
    way = limiter()
    entered = asyncio.Event()

    async def enter() -> None:
        async with way.ticket():
            entered.set()

    async with way.ticket():
        first, second = asyncio.create_task(enter()), asyncio.create_task(enter())
        while way.queue.waiting < 2:
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert way.queue.waiting == 1
    await second
    assert entered.is_set()
    assert clean(way)


async def test_a_task_cancelled_at_the_moment_of_its_turn_passes_it_on() -> None:
    way = limiter()

    async def enter() -> str:
        async with way.ticket():
            return "in"

    holder = way.ticket()
    await holder.__aenter__()
    first, second = asyncio.create_task(enter()), asyncio.create_task(enter())
    while way.queue.waiting < 2:
        await asyncio.sleep(0)
    await holder.__aexit__(None, None, None)  # grants first its turn; it has not run yet
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "in"
    assert clean(way)


async def test_those_who_gave_up_behind_one_who_waits_take_no_place_in_a_full_queue() -> None:
    way = limiter(queue=3)

    async def enter() -> str:
        async with way.ticket():
            return "in"

    async with way.ticket():
        head, *others = (asyncio.create_task(enter()) for _ in range(3))
        while way.queue.waiting < 3:
            await asyncio.sleep(0)
        with pytest.raises(ServerBusy, match="max_queue=3"):
            await enter()
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        assert way.queue.waiting == 1  # the head keeps its turn, so nothing is handed over
        late = [asyncio.create_task(enter()) for _ in range(2)]
        while way.queue.waiting < 3:
            await asyncio.sleep(0)
            assert not any(task.done() for task in late)
    assert await asyncio.gather(head, *late) == ["in"] * 3
    assert clean(way)


def test_an_event_loop_that_ends_takes_its_waiting_tasks_along() -> None:
    way = limiter()

    async def leave_somebody_waiting() -> None:
        waiting = asyncio.create_task(way.ticket().__aenter__())
        while way.queue.waiting < 1:
            await asyncio.sleep(0)
        assert not waiting.done()

    with way.ticket():
        asyncio.run(leave_somebody_waiting())
        assert way.queue.waiting == 0
    assert clean(way)


def test_a_loop_that_is_closed_without_a_word_does_not_hold_the_queue_up() -> None:
    way = limiter()
    loop = asyncio.new_event_loop()
    task = loop.create_task(way.ticket().__aenter__())
    with way.ticket():
        loop.run_until_complete(asyncio.sleep(0))
        assert way.queue.waiting == 1
        loop.close()
    with way.ticket():  # though the task is still there
        assert way.queue.in_flight == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task, loop
    gc.collect()
    assert clean(way)


def test_a_dropped_request_gives_its_place_back() -> None:
    way = limiter()
    request = way.ticket()
    request.__enter__()
    assert way.queue.in_flight == 1
    del request
    assert clean(way)


class InterruptAt:
    """Raises ``KeyboardInterrupt`` at the n-th line of the queue's module that this thread runs."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_filename != sys.modules[RequestQueue.__module__].__file__:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_between_any_two_lines_leaves_it_clean(taken: bool) -> None:
    for line in range(1, 200):
        way, interrupt, over = limiter(), InterruptAt(line), threading.Event()
        before = sys.gettrace()
        with _held_until_one_waits(way, over) if taken else contextlib.nullcontext():
            try:
                sys.settrace(interrupt)
                with way.ticket():
                    pass
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
                over.set()
        assert clean(way), line
        if interrupt.left > 0:
            assert line > 20
            return
    pytest.fail("no run came to its end without an interrupt")


@contextlib.contextmanager
def _held_until_one_waits(way: RequestLimiter, over: threading.Event) -> Iterator[None]:
    inside = threading.Event()

    def hold() -> None:
        with way.ticket():
            inside.set()
            while not way.queue.waiting and not over.wait(0.001):
                pass

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(PATIENCE)
    yield
    thread.join()


def test_without_a_known_number_of_slots_nobody_waits() -> None:
    way = limiter(places=None, queue=0)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(way.ticket())
        assert way.queue.in_flight == 100
    assert clean(way)


def test_models_with_other_limits_share_the_places_of_one_server() -> None:
    queue = RequestQueue()
    narrow, wide = limiter(queue, 1, queue=0), limiter(queue, 2, queue=0)
    with narrow.ticket(), wide.ticket(), pytest.raises(ServerBusy), wide.ticket():
        raise AssertionError
    assert clean(narrow) and clean(wide)


def test_one_gate_per_server_as_long_as_somebody_holds_it() -> None:
    queue = queue_for("http://a")
    assert queue_for("http://a") is queue
    assert queue_for("http://b") is not queue


def test_draining_turns_away_who_waits_and_waits_for_who_is_inside() -> None:
    way = limiter(places=1)
    inside = way.ticket()
    refused: list[type[BaseException]] = []

    def wait_in_the_queue() -> None:
        try:
            with way.ticket():
                raise AssertionError
        except ServerStopped as error:
            refused.append(type(error))

    with ThreadPoolExecutor(2) as pool:
        inside.__enter__()
        pool.submit(wait_in_the_queue)
        wait_for(lambda: way.queue.waiting == 1)
        drained = pool.submit(way.drain, PATIENCE)
        wait_for(lambda: refused == [ServerStopped])
        assert not drained.done()
        with pytest.raises(ServerStopped), way.ticket():
            raise AssertionError
        inside.__exit__(None, None, None)
        assert drained.result() is True
    assert clean(way)


def test_draining_has_a_limit() -> None:
    way = limiter()
    with way.ticket():
        assert way.drain(0.05) is False
    assert clean(way)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_copy_starts_with_an_empty_gate() -> None:
    queue = queue_for("http://forked")
    way = limiter(queue, queue=0)
    with way.ticket():
        child = os.fork()
        if child == 0:
            os._exit(0 if (queue.in_flight, queue.waiting) == (0, 0) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert queue.in_flight == 1


def test_500_requests_that_end_in_every_way_leave_it_clean() -> None:
    """Threads and tasks that finish, give up, are cancelled and dropped; seeded."""
    chance, way = random.Random(4), limiter(places=3, queue=1000, timeout=5.0)
    most, lock = [0], threading.Lock()
    served = [0]

    def seen() -> None:
        with lock:
            most[0] = max(most[0], way.queue.in_flight)
            served[0] += 1

    def blocking(_: int) -> None:
        with way.ticket():
            seen()

    async def tasks(seed: int) -> None:
        own = random.Random(seed)

        async def one() -> None:
            async with way.ticket():
                seen()
                await asyncio.sleep(own.random() / 500)

        running = [asyncio.create_task(one()) for _ in range(60)]
        for task in own.sample(running, 20):
            await asyncio.sleep(own.random() / 500)
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    with ThreadPoolExecutor(16) as pool:
        loops = [pool.submit(asyncio.run, tasks(chance.random())) for _ in range(5)]  # type: ignore[arg-type]
        list(pool.map(blocking, range(200)))
        for each in loops:
            each.result()
    gc.collect()
    assert most[0] <= 3
    assert served[0] >= 200 + 5 * 40
    assert clean(way)


# -- on the real engines ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(engine: Engine) -> Iterator[TextModel]:
    """Two slots."""
    with load_model(RECITER, engine=engine, parallel=2, context_len=2048) as model:
        model.load()
        yield model


def test_no_more_requests_are_under_way_than_the_server_has_slots(narrow: TextModel) -> None:
    queue, most = narrow.connection.limiter.queue, list[int]()

    def answer(_: int) -> str:
        text = ""
        for token in narrow.chat(HELLO):
            most.append(queue.in_flight)
            text += token.text
        return text

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(answer, range(12))) == [ANSWER] * 12
    assert max(most) == 2
    assert (queue.in_flight, queue.waiting) == (0, 0)


def test_models_that_share_a_server_share_its_queue(narrow: TextModel, engine: Engine) -> None:
    options: dict[str, Any] = {"engine": engine, "parallel": 2, "context_len": 2048}
    with load_model(RECITER, **options, max_queue=0) as other:
        other.load()
        assert other.connection.limiter.queue is narrow.connection.limiter.queue
        held = [narrow.generate("x", max_tokens=-1, ignore_eos=True) for _ in range(2)]
        for stream in held:
            next(stream)
        with pytest.raises(ServerBusy, match="max_queue=0"):
            list(other.chat(HELLO))
        for stream in held:
            stream.close()  # type: ignore[attr-defined]
        assert "".join(token.text for token in other.chat(HELLO)) == ANSWER


def test_closing_lets_streams_come_to_their_end_if_asked_to(engine: Engine) -> None:
    model = load_model(RECITER, engine=engine, context_len=960)
    begun, rest = threading.Event(), list[str]()

    def read() -> None:
        for token in model.chat(HELLO):
            rest.append(token.text)
            begun.set()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert begun.wait(PATIENCE)
        asyncio.run(model.aclose(drain=PATIENCE))
        reading.result(PATIENCE)
    assert "".join(rest) == ANSWER
    with pytest.raises(ServerStopped):
        list(model.chat(HELLO))


# -- the deadline of a call ---------------------------------------------------------------------


def _enter(way: RequestLimiter, deadline: Deadline) -> None:
    with way.ticket(deadline):
        pass


def _aenter(way: RequestLimiter, deadline: Deadline) -> None:
    async def enter() -> None:
        async with way.ticket(deadline):
            pass

    asyncio.run(enter())


@pytest.mark.parametrize("enter", [_enter, _aenter], ids=["thread", "event loop"])
def test_the_deadline_of_a_call_counts_the_wait(enter: Callable[..., None]) -> None:
    way = limiter(timeout=PATIENCE)
    with way.ticket():
        with pytest.raises(RequestTimeout, match=r"0\.1 s \(timeout=.*queue") as caught:
            enter(way, Deadline(Timeouts(total=0.1)))
        assert caught.value.phase == "total"
        assert way.queue.waiting == 0
    assert clean(way)


@pytest.mark.parametrize("enter", [_enter, _aenter], ids=["thread", "event loop"])
def test_the_queues_own_limit_stays(enter: Callable[..., None]) -> None:
    way = limiter(timeout=0.1)
    with way.ticket():
        with pytest.raises(ServerBusy, match="queue_timeout"):
            enter(way, Deadline(Timeouts(total=PATIENCE)))
        with pytest.raises(ServerBusy, match="queue_timeout"):
            enter(way, Deadline(Timeouts()))
    assert clean(way)


def test_a_place_that_comes_before_the_deadline_is_taken() -> None:
    way = limiter(timeout=None)
    with ThreadPoolExecutor(1) as pool:
        with way.ticket():
            waiting = pool.submit(_enter, way, Deadline(Timeouts(total=PATIENCE)))
            wait_for(lambda: way.queue.waiting == 1)
        waiting.result(PATIENCE)
    assert clean(way)
