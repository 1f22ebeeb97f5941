"""Breaking an answer off frees the server's slot at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from langchain_rocm import ChatRocm

FREE_WITHIN = 0.1
"""Seconds after which the slot of a stream that was closed must be free."""


async def seconds(condition: Callable[[], Awaitable[bool]], limit: float = 5.0) -> float:
    """How long it takes until ``condition`` holds."""
    start = time.monotonic()
    while not await condition():
        assert time.monotonic() - start < limit
        await asyncio.sleep(0.001)
    return time.monotonic() - start


def busy_slots(chat: ChatRocm) -> int:
    slots = chat.text_model.connection.client.slots()
    return sum(slot["is_processing"] for slot in slots)


async def abusy_slots(chat: ChatRocm) -> int:
    slots = await chat.text_model.connection.aclient.slots()
    return sum(slot["is_processing"] for slot in slots)


def test_closing_a_stream_frees_the_slot(endless: ChatRocm) -> None:
    stream = endless.stream("Hi")
    for _ in range(5):
        next(stream)
    assert busy_slots(endless) == 1
    stream.close()  # type: ignore[attr-defined]
    start = time.monotonic()
    while busy_slots(endless):
        assert time.monotonic() - start < FREE_WITHIN


def test_leaving_a_loop_frees_the_slot(endless: ChatRocm) -> None:
    for _ in endless.stream("Hi"):
        break
    start = time.monotonic()
    while busy_slots(endless):
        assert time.monotonic() - start < FREE_WITHIN


async def test_closing_an_async_stream_frees_the_slot(endless: ChatRocm) -> None:
    stream: AsyncIterator[AIMessageChunk] = endless.astream("Hi")
    for _ in range(5):
        await anext(stream)
    assert await abusy_slots(endless) == 1
    await stream.aclose()  # type: ignore[attr-defined]

    async def free() -> bool:
        return await abusy_slots(endless) == 0

    assert await seconds(free) < FREE_WITHIN


@pytest.mark.parametrize("method", ["ainvoke", "abatch"])
async def test_cancelling_a_task_frees_the_slots(endless: ChatRocm, method: str) -> None:
    prompts: Any = ["Hi", "Ho"] if method == "abatch" else "Hi"
    task = asyncio.ensure_future(getattr(endless, method)(prompts))
    wanted = 2 if method == "abatch" else 1

    async def busy() -> bool:
        return await abusy_slots(endless) == wanted

    async def free() -> bool:
        return await abusy_slots(endless) == 0

    await seconds(busy)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await seconds(free) < FREE_WITHIN
