"""A running application as its clients see it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from rocm_core import Chat, GenerateConfig, load_model
from rocm_core.errors import AuthenticationError
from tests.scale.cluster.support import KEY, LOAD, SLOTS, Load, Served, serving
from tests.support.models.reciter import ANSWER
from tests.support.programs import wait_for

ENDLESS = GenerateConfig(max_tokens=600, ignore_eos=True)
HELLO = [{"role": "user", "content": "Hello"}]
SHORT = GenerateConfig(max_tokens=60, ignore_eos=True)
CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}


def http(served: Served) -> httpx.Client:
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.Client(base_url=served.url, headers=headers, timeout=60)


def test_a_model_by_its_address_is_used_as_any_other(three: Served) -> None:
    with load_model(three.url, api_key=KEY) as model:
        assert "".join(token.text for token in model.chat(HELLO)) == ANSWER
        assert model.count_tokens([{"role": "user", "content": "Hello"}]) > 0
        assert len(model.tokenize("Hello")) > 0
        assert model.info.total_slots == SLOTS


def test_the_answer_has_the_bytes_of_llama_server(three: Served) -> None:
    with http(three) as client:
        body = client.post("/v1/chat/completions", json={**CHAT, "stream": True}).content
    events = body.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    assert all(event.startswith(b"data: {") for event in events[:-2])


def test_a_key_is_asked_for(three: Served) -> None:
    with load_model(three.url, api_key="another") as model, pytest.raises(AuthenticationError):
        list(model.chat(HELLO))


def test_the_page_of_metrics_has_every_replica(three: Served) -> None:
    with http(three) as client:
        lines = client.get("/metrics").text.splitlines()
    ready = [line for line in lines if line.startswith("llama_rocm_replica_ready{")]
    assert len(ready) == 3
    assert sum(line.startswith("llamacpp:tokens_predicted_total{") for line in lines) == 3


async def test_a_client_that_leaves_frees_its_slot(three: Served) -> None:
    def requests() -> int:
        return sum(int(status["requests"]) for status in three.statuses())

    with three.model() as model:
        events = model.aevents(Chat([{"role": "user", "content": "Go on"}], ENDLESS))
        await anext(events)
        assert await asyncio.to_thread(requests) == 1
        await events.aclose()
    await asyncio.to_thread(wait_for, lambda: requests() == 0)


@pytest.mark.usefixtures("machines")
async def test_more_replicas_under_load_and_fewer_after_it() -> None:
    scaling = {
        "min_replicas": 1,
        "max_replicas": 3,
        "upscale_delay_s": 0.5,
        "downscale_delay_s": 2,
        "look_back_period_s": 1,
        "metrics_interval_s": 0.5,
    }
    with serving(autoscaling=scaling) as served:
        load, up = Load(served, SHORT), list[float]()
        await load.keep(40, lambda: up.append(served.await_ready(3)))
        assert not (load.cut or load.failed or load.short)
        # One stream at a time is no reason for three replicas, and none of its streams is cut.
        load, down = Load(served, SHORT), list[float]()
        await load.keep(1, lambda: down.append(served.await_ready(1)))
        assert not (load.cut or load.failed or load.short)
        print(f"1 to 3 replicas in {up[0]:.1f} s, 3 to 1 in {down[0]:.1f} s after the load")


@pytest.mark.usefixtures("machines")
async def test_streams_are_finished_before_a_replica_ends() -> None:
    with serving(replicas=2) as served:
        load = Load(served, ENDLESS)
        task = asyncio.create_task(load.run(2 * SLOTS, 20, lambda: None))
        await load.under_way.wait()
        await asyncio.to_thread(_deploy_again)
        await task
        assert (len(load.texts), len(load.cut)) == (2 * SLOTS, 0)


def _deploy_again() -> None:
    """Change the number of replicas of the running application to 1."""
    from ray import serve

    from rocm_core.scale import Replicas, build_app
    from tests.scale.cluster.support import APP
    from tests.support.models.reciter import RECITER

    one = Replicas(RECITER, LOAD, replicas=1, gpus_per_replica=0, drain_seconds=60, name="reciter")
    serve.run(build_app(one, api_keys=[KEY]), name=APP, route_prefix="/")
