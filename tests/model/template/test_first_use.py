"""Requests that are sent at once ask about the chat template once, from threads and event loops."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rocm_core import TextModel, load_model
from rocm_core.client import calls, run_steps
from rocm_core.config import Engine
from rocm_core.errors import RequestTimeout, ServerBusy
from rocm_core.model.steps import RequestSteps, Wait
from rocm_core.model.template.first_use import FirstUse
from tests.support.histories import RESULT, SYSTEM, calling, result, text
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import PATIENCE, FakeServer, Reply, answer

HISTORY = [SYSTEM, text("user", "ONE", "TWO"), calling("a", "b", beside="T"), RESULT, result("b")]
SHOWN = answer(json.dumps({"prompt": "probe-user-1 probe-user-2"}).encode())
CALLERS = 20


def renders(server: FakeServer) -> Counter[str]:
    """How often each probe was rendered."""
    return Counter(json.dumps(r.body) for r in server.requests if r.path == "/apply-template")


@pytest.fixture
def slow(scripted: FakeServer) -> Iterator[tuple[TextModel, FakeServer]]:
    """A model whose server renders the first probe only after all callers have come."""
    come = threading.Semaphore(0)

    def rendered(_: object) -> Reply:
        if sum(renders(scripted).values()) == 1:
            for _ in range(CALLERS):
                assert come.acquire(timeout=PATIENCE)
        return SHOWN

    scripted.script("/apply-template", rendered)
    with load_model(scripted.url) as model:
        model.load()
        model.come = come  # type: ignore[attr-defined]
        yield model, scripted


def test_threads(slow: tuple[TextModel, FakeServer]) -> None:
    model, server = slow

    def fit() -> object:
        model.come.release()  # type: ignore[attr-defined]
        return model.template.fit([text("user", "ONE", "TWO")])

    with ThreadPoolExecutor(CALLERS) as pool:
        found = [f.result() for f in [pool.submit(fit) for _ in range(CALLERS)]]
    assert found == [found[0]] * CALLERS
    assert set(renders(server).values()) == {1}


async def test_tasks(slow: tuple[TextModel, FakeServer]) -> None:
    model, server = slow

    async def fit() -> object:
        model.come.release()  # type: ignore[attr-defined]
        return await model.template.afit([text("user", "ONE", "TWO")])

    found = await asyncio.gather(*(fit() for _ in range(CALLERS)))
    assert found == [found[0]] * CALLERS
    assert set(renders(server).values()) == {1}


async def test_a_cancelled_request_leaves_the_turn_to_the_next(scripted: FakeServer) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def rendered(_: object) -> Reply:
        asked.set()
        go_on.wait(PATIENCE)
        return SHOWN

    scripted.script("/apply-template", rendered)
    history = [text("user", "ONE", "TWO")]
    with load_model(scripted.url) as model:
        first = asyncio.create_task(model.template.afit(history))
        assert await asyncio.to_thread(asked.wait, PATIENCE)
        waiting = [asyncio.create_task(model.template.afit(history)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in (first, waiting[0]):
            task.cancel()
        go_on.set()
        assert await asyncio.gather(*waiting[1:]) == [history] * 2
        with pytest.raises(asyncio.CancelledError):
            await first


def test_an_error_goes_to_the_request_that_asked(scripted: FakeServer) -> None:
    scripted.script("/apply-template", answer("error_503_no_slot.b11434", 503), SHOWN)
    history = [text("user", "ONE", "TWO")]
    with load_model(scripted.url) as model:
        with pytest.raises(ServerBusy):
            model.template.fit(history)
        assert model.template.fit(history) == history


def test_nobody_waits_for_ever() -> None:
    turn = FirstUse(patience=0.0)
    waits: list[Wait] = []

    def asks() -> RequestSteps[str]:
        answered: str = yield calls.health()
        return answered

    first = turn.alone(asks)
    next(first)  # has the turn, and is not run on

    def perform(step: object) -> object:
        if isinstance(step, Wait):
            waits.append(step)
            return False
        return "asked"

    assert run_steps(turn.alone(asks), perform) == "asked"
    assert len(waits) == 1
    first.close()
    assert run_steps(turn.alone(asks), perform) == "asked"
    assert len(waits) == 1


def test_waiting_obeys_the_deadline(scripted: FakeServer) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def rendered(_: object) -> Reply:
        asked.set()
        go_on.wait(PATIENCE)
        return SHOWN

    scripted.script("/apply-template", rendered)
    history = [text("user", "ONE", "TWO")]
    with load_model(scripted.url) as model, ThreadPoolExecutor(1) as pool:
        first = pool.submit(model.template.fit, history)
        assert asked.wait(PATIENCE)
        with load_model(scripted.url, timeout=0.05) as impatient, pytest.raises(RequestTimeout):
            impatient.template = model.template
            impatient.template.fit(history, impatient.deadline())
        go_on.set()
        assert first.result(PATIENCE) == history


def test_a_real_engine(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, parallel=2) as model:
        model.load()
        asked: list[str] = []
        client = model.connection.client
        send = client.call

        def call(step: calls.Call[object], *limits: object) -> object:
            asked.append(json.dumps(step.body))
            return send(step, *limits)  # type: ignore[arg-type]

        client.call = call  # type: ignore[method-assign, assignment]
        with ThreadPoolExecutor(CALLERS) as pool:
            found = list(pool.map(lambda _: model.template.fit(HISTORY), range(CALLERS)))
        assert found == [found[0]] * CALLERS
        assert set(Counter(asked).values()) == {1}
