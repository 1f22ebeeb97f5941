"""200 streams at once, and a server, an actor or a whole node killed under them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import psutil
import pytest

from rocm_core import GenerateConfig
from tests.scale.cluster.support import APP, SLOTS, Load, Machines, Served, parent_of
from tests.support.models.reciter import ANSWER

STREAMS = 200
# The answer, and a part of it again: the reciter says nothing else.
LONG = GenerateConfig(max_tokens=60, ignore_eos=True, temperature=0)


async def expected(served: Served) -> str:
    """What every stream has to say."""
    load = Load(served, LONG)
    await load.run(1, 1, lambda: None)
    (text,) = load.texts
    assert text.startswith(ANSWER)
    return text


def killing_a_server(served: Served, machines: Machines) -> None:
    os.kill(served.statuses()[0]["pid"], signal.SIGKILL)


def killing_an_actor(served: Served, machines: Machines) -> None:
    os.kill(parent_of(served.statuses()[0]["pid"]), signal.SIGKILL)


def killing_a_node(served: Served, machines: Machines) -> None:
    machines.kill_node_of(parent_of(served.statuses()[0]["pid"]))


def front_of(served: Served) -> int:
    """The pid of the front's actor."""
    (front,) = [p.pid for p in psutil.process_iter() if _is_front(p)]
    return int(front)


def _is_front(process: psutil.Process) -> bool:
    try:
        return "".join(process.cmdline()).startswith(f"ray::ServeReplica:{APP}:front")
    except psutil.Error:
        return False


async def test_a_client_with_retries_outlives_the_front(three: Served) -> None:
    text = await expected(three)
    load = Load(three, LONG, max_retries=6)
    took = await load.run(60, 300, lambda: os.kill(front_of(three), signal.SIGKILL))
    print(f"front: {load.counts()}; {took:.1f} s")
    assert set(load.texts) == {text}
    assert not load.failed
    assert not load.short


@pytest.mark.parametrize(
    "kill", [killing_a_server, killing_an_actor, killing_a_node], ids=["server", "actor", "node"]
)
async def test_nothing_is_wrong_or_silently_short(
    three: Served, machines: Machines, kill: Callable[[Served, Machines], None]
) -> None:
    text = await expected(three)
    load = Load(three, LONG)
    took = await load.run(STREAMS, 300, lambda: kill(three, machines))

    healed = await asyncio.to_thread(three.await_ready, 3)
    print(f"{kill.__name__}: {load.counts()}; {took:.1f} s; 3 replicas {healed:.1f} s later")
    assert set(load.texts) == {text}
    assert not load.failed
    assert not load.short
    # What was on its slots, and no more.
    assert len(load.cut) <= SLOTS
    assert len(load.texts) + len(load.cut) == STREAMS


async def test_a_stream_under_way_raises_the_typed_error(three: Served) -> None:
    longer = GenerateConfig(max_tokens=1500, ignore_eos=True, temperature=0)
    load = Load(three, longer)
    # Asked before, because an answer may take longer than the streams.
    pid = (await asyncio.to_thread(three.statuses))[0]["pid"]
    await load.run(3 * SLOTS, 50, lambda: os.kill(pid, signal.SIGKILL))
    await asyncio.to_thread(three.await_ready, 3)
    assert 0 < len(load.cut) <= SLOTS  # ``StreamInterrupted``
    assert len(set(load.texts)) == 1
    assert not load.failed
    assert not load.short


async def test_two_hundred_streams_are_answered(three: Served) -> None:
    text = await expected(three)
    load = Load(three, LONG)
    took = await load.run(STREAMS, 1, lambda: None)
    print(f"undisturbed: {load.counts()}; {took:.1f} s")
    assert load.texts == [text] * STREAMS


async def test_every_replica_takes_part(three: Served) -> None:
    before = three.tokens()
    await Load(three, LONG).run(60, 1, lambda: None)
    shares = [count - before.get(name, 0) for name, count in three.tokens().items()]
    assert len(shares) == 3
    assert min(shares) >= 0.1 * sum(shares)
