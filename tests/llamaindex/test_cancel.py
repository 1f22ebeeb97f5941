"""Leaving a stream early frees the server's slot at once; waiting never blocks the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_rocm import RocmLLM
from tests.support.leftovers import (
    FREE_WITHIN,
    abusy,
    assert_afreed,
    assert_freed,
    auntil_busy,
    busy,
)
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import raw_call, say, script, unfinished

HELLO = [ChatMessage("Hello")]
LEAVE: dict[str, Callable[[RocmLLM], Any]] = {
    "chat": lambda llm: llm.stream_chat(HELLO),
    "template": lambda llm: llm.stream_complete("Hello"),
    "raw": lambda llm: llm.stream_complete("Hello", formatted=True),
}
ALEAVE: dict[str, Callable[[RocmLLM], Any]] = {
    "chat": lambda llm: llm.astream_chat(HELLO),
    "template": lambda llm: llm.astream_complete("Hello"),
    "raw": lambda llm: llm.astream_complete("Hello", formatted=True),
}


# -- leaving ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", LEAVE)
def test_closing_a_stream_frees_the_slot(endless: RocmLLM, method: str) -> None:
    stream = LEAVE[method](endless)
    next(stream)
    next(stream)
    assert busy(endless) == 1
    stream.close()
    assert_freed(endless)


def test_dropping_a_stream_frees_the_slot(endless: RocmLLM) -> None:
    for _ in endless.stream_chat(HELLO):
        assert busy(endless) == 1
        break
    assert_freed(endless)


def test_an_observer_that_keeps_the_exception_does_not_keep_the_stream(endless: RocmLLM) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    endless.callback_manager = CallbackManager([debug])
    stream = endless.stream_chat(HELLO)
    next(stream)
    stream.close()
    assert_freed(endless)
    assert "GeneratorExit" in str(debug.get_llm_inputs_outputs()[0][1].payload)


@pytest.mark.parametrize("method", ALEAVE)
async def test_aclosing_a_stream_frees_the_slot(endless: RocmLLM, method: str) -> None:
    stream = await ALEAVE[method](endless)
    await anext(stream)
    assert await abusy(endless) == 1
    await stream.aclose()
    await assert_afreed(endless)


@pytest.mark.parametrize("pause", [0, 60])
async def test_cancelling_the_reader_frees_the_slot(endless: RocmLLM, pause: int) -> None:
    async def read() -> None:
        async for _ in await endless.astream_chat(HELLO):
            await asyncio.sleep(pause)

    task = asyncio.create_task(read())
    await auntil_busy(endless)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_afreed(endless)


async def test_cancelling_a_call_that_does_not_stream_frees_the_slot(endless: RocmLLM) -> None:
    for call in (endless.achat(HELLO), endless.acomplete("Hello", formatted=True)):
        task = asyncio.create_task(call)
        await auntil_busy(endless)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await assert_afreed(endless)


def test_a_stream_that_is_never_read_asks_for_nothing(endless: RocmLLM) -> None:
    stream = endless.stream_chat(HELLO)
    time.sleep(0.05)
    assert busy(endless) == 0
    stream.close()


# -- waiting ----------------------------------------------------------------------------------


async def test_concurrent_calls_do_not_block_the_loop(engine: Any) -> None:
    # A server of its own, so that its start is among what must not block.
    own = RocmLLM(model=RECITER, engine=engine, parallel=4, ignore_eos=True, max_tokens=1500)
    ticks = 0

    async def clock() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    clock_task = asyncio.create_task(clock())
    begun = time.monotonic()
    answers = await asyncio.gather(*(own.acomplete("Hello") for _ in range(4)))
    seconds = time.monotonic() - begun
    clock_task.cancel()
    own.close()
    assert len({answer.text for answer in answers}) == 1
    # A loop that waits for each call would tick once or twice, whatever the machine's load.
    assert ticks > 20 * seconds


async def test_concurrent_calls_run_at_the_same_time(endless: RocmLLM) -> None:
    streams = [await endless.astream_chat(HELLO) for _ in range(3)]
    for stream in streams:
        await anext(stream)
    assert await abusy(endless) == 3
    for stream in streams:
        await stream.aclose()
    await assert_afreed(endless)


# -- tools and structured output ----------------------------------------------------------------


class Named(BaseModel):
    name: str


def tools_stream(llm: RocmLLM) -> Any:
    return llm.stream_chat_with_tools([TOOL], "Go.")


def objects_stream(llm: RocmLLM) -> Any:
    return llm.stream_structured_predict(Named, PromptTemplate("Go."))


def tools_astream(llm: RocmLLM) -> Any:
    return llm.astream_chat_with_tools([TOOL], "Go.")


def objects_astream(llm: RocmLLM) -> Any:
    return llm.astream_structured_predict(Named, PromptTemplate("Go."))


TOOL = FunctionTool.from_defaults(lambda name: name, name="probe_server", description="Greet.")
UNFINISHED: dict[Any, Any] = {
    tools_stream: raw_call("probe_server", '{"name": "a b c'),
    objects_stream: say('{"name": "a b c'),
    tools_astream: raw_call("probe_server", '{"name": "a b c'),
    objects_astream: say('{"name": "a b c'),
}


@pytest.mark.parametrize("open_stream", [tools_stream, objects_stream])
def test_closing_hangs_up_whatever_is_streamed(open_stream: Any) -> None:
    with FakeServer() as server:
        script(server, unfinished(UNFINISHED[open_stream]))
        responses = open_stream(RocmLLM(model=server.url))
        next(responses)
        responses.close()
        assert server.requests[-1].disconnected.wait(FREE_WITHIN)


@pytest.mark.parametrize("open_stream", [tools_astream, objects_astream])
@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_leaving_hangs_up_whatever_is_streamed(open_stream: Any, how: str) -> None:
    with FakeServer() as server:
        script(server, unfinished(UNFINISHED[open_stream]))
        responses = await open_stream(RocmLLM(model=server.url))
        await anext(responses)
        if how == "aclose":
            await responses.aclose()
        else:

            async def read() -> None:
                async for _ in responses:
                    pass

            task = asyncio.create_task(read())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await asyncio.to_thread(server.requests[-1].disconnected.wait, FREE_WITHIN)
