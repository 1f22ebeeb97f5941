"""Many streams that begin in the same moment, and that nobody reads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE, wait_for

# Thrice the HTTP threads that llama-server has by itself: its slots and four.
STREAMS = 24
# Every token tells the probabilities of 500 others: a stream is more than a socket's buffer
# holds, so that its thread stays where it is until somebody reads.
LARGE = {"prompt": "x", "n_predict": 20, "n_probs": 500, "ignore_eos": True, "stream": True}


@pytest.fixture
def server(engine: Engine) -> Iterator[Server]:
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine))
    server.start()
    yield server
    server.stop()


def _be_slow(pid: int) -> None:
    """One core for all its threads, and one that is woken waits for its turn."""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        os.sched_setaffinity(int(thread.name), {min(os.sched_getaffinity(0))})
        os.sched_setscheduler(int(thread.name), os.SCHED_BATCH, os.sched_param(0))


class Burst:
    """Requests that reach the server all at once: it is suspended meanwhile."""

    def __init__(self, server: Server, count: int) -> None:
        self.client = httpx.Client(
            base_url="http://localhost",
            transport=httpx.HTTPTransport(
                uds=server.client.uds, limits=httpx.Limits(max_connections=None)
            ),
            headers={"Authorization": f"Bearer {server.api_key}"},
            timeout=httpx.Timeout(PATIENCE, read=None),
        )
        self.begun = threading.Semaphore(0)
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self._begin, daemon=True) for _ in range(count)]
        self.sent = 0
        assert server.pid
        _be_slow(server.pid)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            for thread in self.threads:
                thread.start()
            wait_for(lambda: self.sent == count)
        finally:
            os.kill(server.pid, signal.SIGCONT)

    def _begin(self) -> None:
        def trace(event: str, info: object) -> None:
            self.sent += event == "http11.send_request_body.complete"

        request = self.client.stream("POST", "/completion", json=LARGE, extensions={"trace": trace})
        with request as response:
            unread = response.iter_raw()
            next(unread)
            self.begun.release()
            self.end.wait()

    def close(self) -> None:
        self.end.set()
        self.client.close()


def test_every_stream_begins_though_nobody_reads_the_others(server: Server) -> None:
    burst = Burst(server, STREAMS)
    try:
        begun = 0
        while begun < STREAMS and burst.begun.acquire(timeout=PATIENCE):
            begun += 1
        assert begun == STREAMS
        assert server.client.health() == "ok"
    finally:
        server.stop()
        burst.close()
