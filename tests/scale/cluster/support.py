"""Clusters, applications on them, and many streams at once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from rocm_core import Chat, GenerateConfig, LoadConfig, TextModel, Timeouts, load_model
from rocm_core.errors import RocmError, StreamInterrupted
from rocm_core.scale import Replicas, build_app
from tests.support.models.reciter import RECITER
from tests.support.programs import wait_for

APP = "llama-rocm"
KEY = "sk-of-the-team"
SLOTS = 4
# Seconds: a replica is a process, with packages to import, on two cores that others use too.
PATIENCE = 60.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_PORT = _free_port()
LOAD = LoadConfig(parallel=SLOTS, context_len=2048, model_name="reciter")


class Machines:
    """A head node, on which the front is, and nodes for replicas; one CPU for each replica."""

    def __init__(self, nodes: int) -> None:
        import ray
        from ray.cluster_utils import Cluster

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes = [self._add() for _ in range(nodes)]
        ray.init(address=self._cluster.address, log_to_driver=False)

    def _add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=80 << 20)

    def kill_node_of(self, actor: int) -> None:
        """Kill a node, with everything on it, by the pid of an actor there."""
        raylet = psutil.Process(actor).ppid()
        for node in self._nodes:
            if raylet in [process.process.pid for process in node.all_processes["raylet"]]:
                self._nodes.remove(node)
                self._cluster.remove_node(node, allow_graceful=False)
                return
        raise AssertionError(f"{actor} is on no node")

    def add_node(self) -> None:
        """Add a node in place of one that was killed; in the main thread."""
        self._nodes.append(self._add())

    def shutdown(self) -> None:
        import ray
        from ray import serve

        serve.shutdown()
        ray.shutdown()
        self._cluster.shutdown()


@dataclass
class Served:
    """A running application."""

    url: str
    name: str = "reciter"

    def statuses(self) -> list[dict[str, Any]]:
        """What each replica says of itself; none of those that do not answer."""
        from ray import serve

        handle = serve.get_deployment_handle(f"model-{self.name}", APP)
        with contextlib.suppress(Exception):  # the application is being changed
            asked = handle.broadcast("status").results(timeout_s=20, return_exceptions=True)
            return [answer for answer in asked if isinstance(answer, dict)]
        return []

    def ready(self) -> int:
        return sum(status["ready"] for status in self.statuses())

    def tokens(self) -> dict[str, float]:
        """Tokens that each replica has generated so far."""
        headers = {"Authorization": f"Bearer {KEY}"}
        page = httpx.get(f"{self.url}/metrics", headers=headers, timeout=PATIENCE).text
        rows = re.findall(
            r'^llamacpp:tokens_predicted_total\{.*replica="(\w+)".*\} (\S+)$', page, re.M
        )
        return {name: float(value) for name, value in rows}

    def await_ready(self, count: int) -> float:
        """Wait until so many replicas are ready, and return how many seconds that took."""
        began = time.monotonic()
        wait_for(lambda: self.ready() == count, PATIENCE)
        return time.monotonic() - began

    def model(self) -> TextModel:
        """Return the model as any program has it that knows the address."""
        limits = Timeouts(first_token=PATIENCE, idle=PATIENCE)
        whole: dict[str, Any] = {"max_queue": None, "queue_timeout": None, "max_in_flight": 1000}
        return load_model(self.url, api_key=KEY, timeouts=limits, **whole)


@contextlib.contextmanager
def serving(ref: str = RECITER, **options: Any) -> Iterator[Served]:
    """Run an application with one model, and end it."""
    from ray import serve

    given: dict[str, Any] = {"gpus_per_replica": 0, "drain_seconds": 60, "name": "reciter"}
    replicas = Replicas(ref, options.pop("load", LOAD), **(given | options))
    # Its proxies stay for all applications of the cluster.
    # One for each node would share one port of this machine, and take each other's clients.
    serve.start(http_options={"host": "127.0.0.1", "port": _PORT}, proxy_location="HeadOnly")
    serve.run(build_app(replicas, api_keys=[KEY]), name=APP, route_prefix="/")
    try:
        yield Served(f"http://127.0.0.1:{_PORT}", replicas.name)
    finally:
        serve.delete(APP)


def parent_of(pid: int) -> int:
    """Return the actor that supervises a llama-server."""
    return psutil.Process(pid).ppid()


@dataclass
class Load:
    """Many streams at once, and what became of each.

    Attributes:
        texts: of the streams that ended as they should.
        cut: streams that broke off in the middle, with the typed error.
        failed: what failed before its first token.
        max_retries: how often a client tries again what has produced nothing.
        short: texts of streams that ended without an error, but not as a whole.
    """

    served: Served
    config: GenerateConfig
    max_retries: int = 0
    texts: list[str] = field(default_factory=list)
    cut: list[StreamInterrupted] = field(default_factory=list)
    failed: list[RocmError] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    events: int = 0
    under_way: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, streams: int, after: int, disturb: Callable[[], Any]) -> float:
        """Run the streams; disturb them after so many events. Returns seconds from then on."""
        with self.served.model() as model:
            tasks = [asyncio.create_task(self._one(model, n, after)) for n in range(streams)]
            await asyncio.wait_for(self.under_way.wait(), PATIENCE)
            began = time.monotonic()
            await asyncio.to_thread(disturb)
            await asyncio.gather(*tasks)
        return time.monotonic() - began

    async def keep(self, streams: int, until: Callable[[], Any]) -> None:
        """Keep so many streams under way until a function has returned."""
        done = asyncio.Event()

        async def again(model: TextModel, number: int) -> None:
            while not done.is_set():
                await self._one(model, number, 1)

        with self.served.model() as model:
            tasks = [asyncio.create_task(again(model, n)) for n in range(streams)]
            await asyncio.wait_for(self.under_way.wait(), PATIENCE)
            await asyncio.to_thread(until)
            done.set()
            await asyncio.gather(*tasks)

    async def _one(self, model: TextModel, number: int, after: int) -> None:
        chat = Chat([{"role": "user", "content": f"Question {number}"}], self.config)
        text, reason = "", None
        try:
            async for event in model.aevents(chat, max_retries=self.max_retries):
                self.events += 1
                if self.events >= after:
                    self.under_way.set()
                text += event.text or ""
                reason = event.finish_reason or reason
        except StreamInterrupted as error:
            (self.cut if text else self.failed).append(error)
        except RocmError as error:
            self.failed.append(error)
        else:
            (self.texts if reason else self.short).append(text)

    def counts(self) -> str:
        lengths = collections.Counter(map(len, self.texts))
        return (
            f"{len(self.texts)} whole (lengths {dict(lengths)}), {len(self.cut)} cut off, "
            f"{len(self.failed)} failed before, {len(self.short)} short"
        )
