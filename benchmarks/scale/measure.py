"""CPU time for each token: straight from llama-server, through the front, through a plain one.

The plain one is the least that Ray Serve can do: a deployment that passes an httpx stream on. It
asks the same llama-server, on the same cluster, in the same run.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.scale import Replicas, build_app, stop_app

STREAMS, TOKENS, ROUNDS = 8, 300, 3
BODY = {
    "messages": [{"role": "user", "content": "Count."}],
    "max_tokens": TOKENS,
    "ignore_eos": True,
    "stream": True,
}
LOAD = LoadConfig(parallel=8, context_len=1024, engine="binary")
_OURS = ("ray::ProxyActor", "ray::ServeReplica:llama-rocm:")
_PLAIN = ("ray::ProxyActor", "ray::ServeReplica:plain:")


@dataclass
class Cost:
    """Of one way to a token: microseconds of CPU time, and tokens per second."""

    way: str
    streams: int
    server: float
    between: float
    tokens_per_second: float

    @property
    def all(self) -> float:
        """With llama-server's own."""
        return self.server + self.between


class Plain:
    """The least that passes a stream on."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=None)

    async def __call__(self, request: Any) -> Any:
        """Pass one request on."""
        from starlette.responses import StreamingResponse

        sent = self._client.build_request(
            "POST", "/v1/chat/completions", content=await request.body()
        )
        reply = await self._client.send(sent, stream=True)
        return StreamingResponse(reply.aiter_raw(), media_type=reply.headers["content-type"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PORT = _free_port()


def table() -> str:
    """Measure, and return a Markdown table; two minutes, on a quiet machine."""
    import ray
    from ray import serve

    server = Server(resolve_ref("demo"), LoadConfig(**_fields(), port=0))
    server.start()
    ray.init("local", include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": PORT})
        model = Replicas("demo", LOAD, gpus_per_replica=0)
        serve.run(build_app(model, one_machine=True), name="llama-rocm", route_prefix="/")
        plain = serve.deployment(Plain).options(max_ongoing_requests=100)
        app = plain.bind(server.url, server.api_key)
        serve.run(app, name="plain", route_prefix="/plain")
        return _markdown(list(_costs(server)))
    finally:
        stop_app()
        server.stop()


def _fields() -> dict[str, Any]:
    return {"parallel": LOAD.parallel, "context_len": LOAD.context_len, "engine": LOAD.engine}


def _costs(server: Server) -> Iterable[Cost]:
    front = f"http://127.0.0.1:{PORT}/v1/chat/completions"
    ways = {
        "direct": (f"{server.url}/v1/chat/completions", server.api_key, ()),
        "plain": (f"http://127.0.0.1:{PORT}/plain/", None, _PLAIN),
        "front": (front, None, _OURS),
    }
    for streams in (1, STREAMS):
        best: dict[str, Cost] = {}
        for _ in range(ROUNDS + 1):  # the first one warms up
            for way, (url, key, between) in ways.items():
                cost = asyncio.run(_one(way, url, key, between, streams))
                if way not in best or cost.between < best[way].between:
                    best[way] = cost
        yield from best.values()


async def _one(way: str, url: str, key: str | None, between: tuple[str, ...], streams: int) -> Cost:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=streams)
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as client:
        servers, others = _cpu(("llama-server",)), _cpu(between)
        begun = time.monotonic()
        counts = await asyncio.gather(*(_stream(client, url) for _ in range(streams)))
        seconds = time.monotonic() - begun
    tokens = sum(counts)
    return Cost(
        way,
        streams,
        1e6 * (_cpu(("llama-server",)) - servers) / tokens,
        1e6 * (_cpu(between) - others) / tokens,
        tokens / seconds,
    )


async def _stream(client: httpx.AsyncClient, url: str) -> int:
    async with client.stream("POST", url, json=BODY) as reply:
        reply.raise_for_status()
        body = b"".join([piece async for piece in reply.aiter_raw()])
    assert body.endswith(b"data: [DONE]\n\n")
    return body.count(b"data: {")


def _cpu(names: tuple[str, ...]) -> float:
    """CPU seconds so far of this program's descendants with these names."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            command = process.cmdline()[:1]
            name = command[0].rpartition("/")[2] if command else ""
            if name.startswith(names) or (command and command[0].startswith(names)):
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            continue
    return total if names else 0.0


def _markdown(costs: list[Cost]) -> str:
    rows = [
        "| streams | way | µs of CPU per token, llama-server | between | all, over direct | "
        "between, over plain | tokens per second |",
        "|---|---|---|---|---|---|---|",
    ]
    for streams in (1, STREAMS):
        found = {cost.way: cost for cost in costs if cost.streams == streams}
        for cost in found.values():
            over = cost.between / found["plain"].between
            shown = f"{over:.2f}" if cost.way != "direct" else ""
            rows.append(
                f"| {streams} | {cost.way} | {cost.server:.0f} | {cost.between:.0f} | "
                f"{cost.all / found['direct'].all:.2f} | {shown} | {cost.tokens_per_second:,.0f} |"
            )
    return "\n".join(rows)
