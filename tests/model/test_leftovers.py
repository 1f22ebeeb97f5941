"""Many requests leave nothing behind: descriptors, threads and memory stay where they were."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from rocm_core import TextModel
from tests.support.leftovers import Footprint

HELLO = [{"role": "user", "content": "Hello"}]


def ask(model: TextModel) -> None:
    assert len(list(model.chat(HELLO, max_tokens=4))) == 4


@pytest.mark.slow
def test_1000_sequential_requests_leave_nothing(model: TextModel) -> None:
    for _ in range(50):
        ask(model)
    before = Footprint.now()
    for _ in range(1000):
        ask(model)
    before.assert_no_more(megabytes=3)


@pytest.mark.slow
def test_500_requests_64_at_a_time_leave_nothing(model: TextModel) -> None:
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda _: ask(model), range(100)))
    before = Footprint.now()
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda _: ask(model), range(500)))
    before.assert_no_more(megabytes=8)


@pytest.mark.slow
async def test_500_tasks_64_at_a_time_leave_nothing(model: TextModel) -> None:
    gate = asyncio.Semaphore(64)

    async def aask() -> None:
        async with gate:
            assert len([token async for token in model.achat(HELLO, max_tokens=4)]) == 4

    await asyncio.gather(*(aask() for _ in range(100)))
    before = Footprint.now()
    await asyncio.gather(*(aask() for _ in range(500)))
    before.assert_no_more(megabytes=8)
