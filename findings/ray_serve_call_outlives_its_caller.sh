#!/usr/bin/env bash
# A front asks a Ray Serve deployment for a stream (handle.options(stream=True)), and the front's process
# is killed. The stream of the deployment was asked for by nobody else.
#
#   expected   the call is cancelled, as it is when the client of the front leaves or the front cancels it:
#              the generator is closed and its finally runs
#   seen       it goes on for as long as the generator does: 20 s later it still runs, counts as an
#              ongoing request, and holds one of max_ongoing_requests. Whatever it holds (here, a slot of
#              a llama-server) is lost until the replica restarts
#
# Versions: ray 2.60.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "ray[serve]==2.60.0" httpx==0.28.1
export RAY_USAGE_STATS_ENABLED=0
cat >"$work/app.py" <<'PY'
import asyncio
import os

from ray import serve


@serve.deployment(max_ongoing_requests=100, ray_actor_options={"num_cpus": 0})
class Worker:
    def __init__(self):
        self.running = 0

    async def stream(self):
        self.running += 1
        try:
            yield "begun"
            await asyncio.Event().wait()  # a long answer
        finally:
            self.running -= 1

    async def count(self):
        return self.running


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Front:
    def __init__(self, worker):
        self.worker = worker
        self.streams = []

    async def __call__(self, request):
        stream = self.worker.options(stream=True).stream.remote()
        self.streams.append(stream)
        await stream.__anext__()
        if request.query_params.get("cancel"):
            self.streams.pop().cancel()
        return str(os.getpid())
PY
cd "$work" && PYTHONPATH=$work "$work/venv/bin/python" -W ignore - <<'PY'
import os
import signal
import socket
import time

import httpx
import ray
from app import Front, Worker
from ray import serve

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
serve.start(http_options={"port": port})
serve.run(Front.bind(Worker.bind()), name="app", route_prefix="/")
worker = serve.get_deployment_handle("Worker", "app")


def running():
    return worker.count.remote().result(timeout_s=30)


url = f"http://127.0.0.1:{port}/"
httpx.get(url, params={"cancel": 1}, timeout=30)
time.sleep(2)
cancelled = running()
front = int(httpx.get(url, timeout=30).text)
os.kill(front, signal.SIGKILL)
time.sleep(20)
left = running()
print(f"streams that run after the front cancelled its own: {cancelled}")
print(f"streams that run 20 s after the front that had asked was killed: {left}")
serve.shutdown()
ray.shutdown()
raise SystemExit(0 if (cancelled, left) == (0, 1) else "the behavior has changed")
PY
