"""Each endpoint of Client and AsyncClient on a scripted server."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from rocm_core.client import Client, calls
from tests.support.servers.asking import DEMO_TEXT, HI, Ask, at, text_of
from tests.support.servers.fake_server import PATIENCE, FakeServer, answer, capture, stream

# -- endpoints ------------------------------------------------------------------------------

VECTORS = b'{"object":"list","data":[{"index":1,"embedding":[0.5]},{"index":0,"embedding":[-1.0]}]}'
RANKS = b'{"results":[{"index":0,"relevance_score":-2.5},{"index":1,"relevance_score":0.5}]}'
ADAPTERS = b'[{"id":0,"path":"a.gguf","scale":1.0}]'


@pytest.mark.parametrize(
    ("method", "args", "path", "body", "reply", "expected"),
    [
        ("health", (), "GET /health", None, "health.b11434", "ok"),
        ("slots", (), "GET /slots", None, "slots_idle.b11434",
         json.loads(capture("slots_idle.b11434"))),
        ("models", (), "GET /v1/models", None, "v1_models.b11434",
         json.loads(capture("v1_models.b11434"))["data"]),
        ("lora_adapters", (), "GET /lora-adapters", None, ADAPTERS, json.loads(ADAPTERS)),
        ("tokenize", ("Hé 你",), "POST /tokenize",
         {"content": "Hé 你", "add_special": False, "parse_special": True},
         "tokenize.b11434", [72, 195, 169, 32, 228, 189, 160]),
        ("detokenize", ((260, 261, 288),), "POST /detokenize", {"tokens": [260, 261, 288]},
         "detokenize.b11434", "Hello! I —"),
        ("apply_template", (HI,), "POST /apply-template",
         {"messages": [{"role": "user", "content": "Hi"}]}, "apply_template.b11434",
         "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        ("embeddings", (["a", "b"],), "POST /v1/embeddings", {"input": ["a", "b"]},
         VECTORS, [[-1.0], [0.5]]),
        ("rerank", ("q", ("a", "b")), "POST /v1/rerank", {"query": "q", "documents": ["a", "b"]},
         RANKS, [(1, 0.5), (0, -2.5)]),
        ("rerank", ("q", ["a", "b"], 0), "POST /v1/rerank",
         {"query": "q", "documents": ["a", "b"], "top_n": 0}, RANKS, []),
        ("call", (calls.set_lora_adapters({0: 0.0}),), "POST /lora-adapters",
         [{"id": 0, "scale": 0.0}], b'{"success":true}', {"success": True}),
        ("set_lora_adapters", ({0: 0.5, 2: 1.0},), "POST /lora-adapters",
         [{"id": 0, "scale": 0.5}, {"id": 2, "scale": 1.0}], b'{"success":true}', None),
    ],
)  # fmt: skip
def test_endpoint(
    server: FakeServer,
    ask: Ask,
    method: str,
    args: tuple[Any, ...],
    path: str,
    body: Any,
    reply: str | bytes,
    expected: Any,
) -> None:
    server.script(path.split()[1], answer(reply))

    assert ask(at(server), method, *args) == expected

    [request] = server.requests
    assert f"{request.method} {request.path}" == path
    assert request.body == body


def test_props_name_the_facts_of_the_server(server: FakeServer, ask: Ask) -> None:
    server.script("/props", answer("props.b11434"))
    raw = json.loads(capture("props.b11434"))

    props = ask(at(server), "props")

    assert (props.n_ctx, props.total_slots) == (512, 2)
    assert (props.model_path, props.model_alias) == (raw["model_path"], raw["model_alias"])
    assert props.chat_template == raw["chat_template"]
    assert props.chat_template_caps == raw["chat_template_caps"]
    assert props.modalities == raw["modalities"]
    assert props.build_info == raw["build_info"]
    assert props.raw == raw


def test_metrics_are_numbers_by_name(server: FakeServer, ask: Ask) -> None:
    server.script("/metrics", answer("metrics.b11434"))

    metrics = ask(at(server), "metrics")

    assert metrics["prompt_tokens_total"] == 344
    assert metrics["prompt_seconds_total"] == 0.007134
    assert metrics["n_busy_slots_per_decode"] == 1.0375
    assert len(metrics) == 15


@pytest.mark.parametrize(
    ("method", "args", "path", "body", "reply", "text"),
    [
        ("completion", ("Hi",), "/completion", {"prompt": "Hi", "stream": True},
         "completion_stream.b11434", " llama-rocm — but these few sentences"),
        ("completion", ((286,),), "/completion", {"prompt": [286], "stream": True},
         "completion_stream_eos.b11434", '"path/to/model.gguf".'),
        ("text_completion", ("Hi",), "/v1/completions",
         {"prompt": "Hi", "stream": True, "stream_options": {"include_usage": True}},
         "v1_completions_stream.b11434", "Hello! I am the small demo"),
        ("chat", (HI,), "/v1/chat/completions",
         {"messages": [{"role": "user", "content": "Hi"}], "stream": True,
          "stream_options": {"include_usage": True}},
         "chat_stream.b11434", DEMO_TEXT),
        ("chat", ([{"role": "user", "content": "Hi"}],), "/v1/chat/completions",
         {"messages": [{"role": "user", "content": "Hi"}], "stream": True,
          "stream_options": {"include_usage": True}},
         "chat_stream_reasoning.b11434", "Hi there ✓"),
    ],
)  # fmt: skip
def test_generation(
    server: FakeServer,
    ask: Ask,
    method: str,
    args: tuple[Any, ...],
    path: str,
    body: Any,
    reply: str,
    text: str,
) -> None:
    server.script(path, stream(reply))

    events = ask(at(server), method, *args)

    assert text_of(events) == text
    assert events[-1].timings is not None
    assert (server.requests[0].method, server.requests[0].path) == ("POST", path)
    assert server.requests[0].body == body


@pytest.mark.parametrize("every", [1, 3, 4096])
def test_generation_in_pieces_of_any_size(server: FakeServer, ask: Ask, every: int) -> None:
    server.script("/v1/chat/completions", stream("chat_stream.b11434", every=every))

    assert text_of(ask(at(server), "chat", HI)) == DEMO_TEXT


def test_generation_over_a_unix_socket(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "s.sock"
    with FakeServer(uds=path) as server:
        server.script("/v1/chat/completions", stream("chat_stream.b11434"))

        assert text_of(ask({"uds": path}, "chat", HI)) == DEMO_TEXT


def test_events_arrive_while_the_server_still_generates(server: FakeServer) -> None:
    go_on = threading.Event()
    server.script("/completion", stream("completion_stream.b11434", go_on))

    with Client(server.url) as client:
        events = client.completion("Hi")
        assert next(events).text == " llama-rocm"
        go_on.set()
        assert text_of(list(events)) == " — but these few sentences"


def test_nothing_is_sent_before_the_first_event_is_asked_for(server: FakeServer) -> None:
    server.script("/completion", stream("completion_stream.b11434"))

    with Client(server.url) as client:
        events = client.completion("Hi")
        assert server.requests == []
        next(events)
        assert len(server.requests) == 1
        events.close()


# -- transports -----------------------------------------------------------------------------


def test_custom_transport_is_used(ask: Ask) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path == "/health":
            return httpx.Response(200, content=capture("health.b11434"))
        return httpx.Response(200, content=capture("chat_stream.b11434"))

    def settings() -> dict[str, Any]:
        return {"base_url": "http://nowhere/v1", "transport": httpx.MockTransport(handle)}

    assert ask(settings(), "health") == "ok"
    assert text_of(ask(settings(), "chat", HI)) == DEMO_TEXT
    assert [str(request.url) for request in seen] == [
        "http://nowhere/health",
        "http://nowhere/v1/chat/completions",
    ]


def test_many_answers_leave_no_connection_open(server: FakeServer) -> None:
    server.script("/health", answer("health.b11434"))

    with Client(server.url) as client:
        for _ in range(5):
            client.health()

        assert all(request.disconnected.wait(PATIENCE) for request in server.requests)
        assert len(server.requests) == 5
