"""Breaking an answer off frees the server's slot at once, however it is asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from langchain_rocm import ChatRocm, errors
from rocm_core import Client, LoadConfig, Server, cancel_scope, resolve_ref
from rocm_core.errors import ClientError
from tests.support.leftovers import (
    FREE_WITHIN,
    abusy,
    assert_afreed,
    assert_freed,
    auntil_busy,
    busy,
    until_busy,
)
from tests.support.models.reciter import RECITER

# ---------------------------------------------------------------------------
# Streams
# ---------------------------------------------------------------------------


def test_closing_a_stream_frees_the_slot(endless: ChatRocm) -> None:
    stream = endless.stream("Hi")
    for _ in range(5):
        next(stream)
    assert busy(endless) == 1
    stream.close()  # type: ignore[attr-defined]
    assert_freed(endless)


def test_leaving_a_loop_frees_the_slot(endless: ChatRocm) -> None:
    for _ in endless.stream("Hi"):
        break
    assert_freed(endless)


def test_leaving_a_loop_over_events_frees_the_slot(endless: ChatRocm) -> None:
    for _ in endless._stream_chat_model_events([], run_manager=None):
        break
    assert_freed(endless)


async def test_closing_an_async_stream_frees_the_slot(endless: ChatRocm) -> None:
    stream: AsyncIterator[AIMessageChunk] = endless.astream("Hi")
    for _ in range(5):
        await anext(stream)
    assert await abusy(endless) == 1
    await stream.aclose()  # type: ignore[attr-defined]
    await assert_afreed(endless)


# ---------------------------------------------------------------------------
# Tasks
# ---------------------------------------------------------------------------


def agent(chat: ChatRocm) -> Any:
    pytest.importorskip("langchain", reason="pip install langchain runs this")
    from langchain.agents import create_agent

    return create_agent(chat)


async def _stream(chat: ChatRocm) -> None:
    async for _ in chat.astream("Hi"):
        pass


STARTS: dict[str, tuple[int, Callable[[ChatRocm], Awaitable[Any]]]] = {
    "ainvoke": (1, lambda chat: chat.ainvoke("Hi")),
    "astream": (1, _stream),
    "abatch": (2, lambda chat: chat.abatch(["Hi", "Ho"])),
    "agent": (1, lambda chat: agent(chat).ainvoke({"messages": [("user", "Hi")]})),
}


@pytest.mark.parametrize("method", STARTS)
async def test_cancelling_a_task_frees_the_slots(endless: ChatRocm, method: str) -> None:
    wanted, start = STARTS[method]
    task = asyncio.ensure_future(start(endless))
    await auntil_busy(endless, wanted)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_afreed(endless)


# ---------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------


def test_a_scope_frees_the_slots_of_other_threads(endless: ChatRocm) -> None:
    endless.text_model.load()
    with ThreadPoolExecutor(2) as pool, cancel_scope() as scope:
        calls = [pool.submit(copy_context().run, endless.invoke, "Hi") for _ in range(2)]
        until_busy(endless, 2)
        scope.cancel()
        assert_freed(endless)
        assert all(isinstance(call.exception(10), ClientError) for call in calls)
        with pytest.raises(errors.RequestCancelled):
            endless.invoke("Hi")
    assert endless.invoke("Hi", max_tokens=1).text


async def test_a_cancelled_task_with_a_scope_ends_its_thread(endless: ChatRocm) -> None:
    await endless.text_model.aload()

    async def work() -> None:
        with cancel_scope():
            await asyncio.to_thread(endless.invoke, "Hi")

    task = asyncio.ensure_future(work())
    await auntil_busy(endless)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_afreed(endless)


# ---------------------------------------------------------------------------
# Ctrl-C
# ---------------------------------------------------------------------------

_PROGRAM = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from langchain_rocm import ChatRocm
from rocm_core import cancel_scope
from tests.support.models.reciter import RECITER
chat = ChatRocm(base_url=sys.argv[1], api_key=sys.argv[2], ignore_eos=True, max_tokens=200_000)
async def astream():
    async for _ in chat.astream("Hi"): pass
def threaded():
    with ThreadPoolExecutor(1) as pool, cancel_scope():
        pool.submit(copy_context().run, chat.invoke, "Hi").result()
def agent():
    from langchain.agents import create_agent
    create_agent(chat).invoke({"messages": [("user", "Hi")]})
def aagent():
    from langchain.agents import create_agent
    asyncio.run(create_agent(chat).ainvoke({"messages": [("user", "Hi")]}))
ways = {
    "stream": lambda: list(chat.stream("Hi")),
    "invoke": lambda: chat.invoke("Hi"),
    "batch": lambda: chat.batch(["Hi", "Ho"]),
    "astream": lambda: asyncio.run(astream()),
    "invoke in a thread": threaded,
    "agent": agent,
    "async agent": aagent,
}
for way in sys.stdin:
    try:
        ways[way.strip()]()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    else:
        print("came to its end", flush=True)
"""
WAYS = ["stream", "invoke", "batch", "astream", "invoke in a thread", "agent", "async agent"]


class Program:
    """Another process, with a server that goes on generating for ever."""

    def __init__(self, server: Server) -> None:
        assert server.url and server.api_key
        self.client = Client(server.url, api_key=server.api_key)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, server.url, server.api_key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )

    def start(self, way: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{way}\n")
        self._process.stdin.flush()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self.client.close()


@pytest.fixture(scope="module")
def program(llama_server: None) -> Any:
    """On a ``llama-server``, whose context can shift: its answers have no end."""
    config = LoadConfig(engine="binary", port=0, extra_args=("--context-shift",))
    server = Server(resolve_ref(RECITER), config)
    server.start()
    program = Program(server)
    yield program
    program.close()
    server.stop()


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupt_frees_the_slot(program: Program, way: str) -> None:
    if "agent" in way:
        pytest.importorskip("langchain", reason="pip install langchain runs this")
    # Two processes and a server share the machine with others: the best of several tries counts.
    took = []
    for _ in range(5):
        program.start(way)
        until_busy(program.client, 2 if way == "batch" else 1)
        program.interrupt()
        begun = time.monotonic()
        assert_freed(program.client, within=10)
        took.append(time.monotonic() - begun)
        assert program.said() == "interrupted"
        if took[-1] < FREE_WITHIN:
            return
    raise AssertionError(f"the slot was free after {min(took):.3f} s only")
