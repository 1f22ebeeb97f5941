"""The driver of procedures: answers, errors thrown in, pauses, and an end from outside."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from rocm_core.client import Call, Steps, arun_steps, run_steps
from rocm_core.errors import EndpointNotFound, RocmError

Run = Callable[[Steps[Any], Callable[[Call[Any]], Any]], Any]


def run_async(steps: Steps[Any], perform: Callable[[Call[Any]], Any]) -> Any:
    async def aperform(step: Call[Any]) -> Any:
        return perform(step)

    return asyncio.run(arun_steps(steps, aperform))


@pytest.fixture(params=[run_steps, run_async], ids=["blocking", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []

    async def asleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("rocm_core.client.steps.time.sleep", waited.append)
    monkeypatch.setattr("rocm_core.client.steps.asyncio.sleep", asleep)
    return waited


def call(path: str) -> Call[str]:
    return Call("GET", path, lambda content: content.decode())


def path_of(step: Call[Any]) -> str:
    return f"answer of {step.path}"


def test_answers_are_sent_in_and_the_result_is_returned(run: Run) -> None:
    def steps() -> Steps[list[str]]:
        first = yield call("/a")
        second = yield call("/b")
        return [first, second]

    assert run(steps(), path_of) == ["answer of /a", "answer of /b"]


def test_a_procedure_without_steps(run: Run) -> None:
    def steps() -> Steps[int]:
        return 3
        yield 0.0

    assert run(steps(), path_of) == 3


def test_a_pause_is_kept_between_two_calls(run: Run, pauses: list[float]) -> None:
    asked: list[str] = []

    def steps() -> Steps[None]:
        yield call("/a")
        answer = yield 0.25
        assert answer is None
        yield call("/b")

    def perform(step: Call[Any]) -> None:
        asked.append(f"{step.path} after {pauses}")

    run(steps(), perform)
    assert asked == ["/a after []", "/b after [0.25]"]


def fail(step: Call[Any]) -> str:
    if step.path == "/gone":
        raise EndpointNotFound("no such endpoint", status=404)
    return path_of(step)


def test_an_error_is_thrown_in_and_may_be_handled(run: Run) -> None:
    def steps() -> Steps[str]:
        try:
            yield call("/gone")
        except EndpointNotFound:
            answer: str = yield call("/there")
        return answer

    assert run(steps(), fail) == "answer of /there"


def test_an_error_that_is_not_handled_is_raised_as_it_is(run: Run) -> None:
    ended: list[str] = []

    def steps() -> Steps[None]:
        try:
            yield call("/gone")
        finally:
            ended.append("finally")

    with pytest.raises(EndpointNotFound, match="no such endpoint") as caught:
        run(steps(), fail)
    assert ended == ["finally"]
    assert caught.value.__context__ is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_other_exceptions_close_the_procedure_and_go_on(
    run: Run, error: type[BaseException]
) -> None:
    seen: list[type[BaseException]] = []

    def steps() -> Steps[None]:
        try:
            yield call("/a")
        except BaseException as end:
            seen.append(type(end))
            raise

    def perform(step: Call[Any]) -> None:
        raise error

    procedure = steps()
    with pytest.raises(error):
        run(procedure, perform)
    assert seen == [GeneratorExit]
    assert inspect.getgeneratorstate(procedure) == inspect.GEN_CLOSED


@pytest.mark.parametrize("at", ["call", "pause"])
async def test_a_cancelled_task_closes_the_procedure(at: str) -> None:
    seen: list[type[BaseException]] = []
    waiting, never = asyncio.Event(), asyncio.Event()

    def steps() -> Steps[None]:
        try:
            waiting.set()
            yield call("/a") if at == "call" else 60.0
        except BaseException as end:
            seen.append(type(end))
            raise

    async def perform(step: Call[Any]) -> None:
        await never.wait()

    task = asyncio.create_task(arun_steps(steps(), perform))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [GeneratorExit]


def test_an_error_of_the_procedure_itself(run: Run) -> None:
    def steps() -> Steps[None]:
        yield call("/a")
        raise RocmError("its own")

    with pytest.raises(RocmError, match="its own"):
        run(steps(), path_of)
