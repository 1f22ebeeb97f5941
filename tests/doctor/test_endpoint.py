"""Findings before the first request: named, with a remedy, and nothing raises."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

from rocm_core import Server, TextModel, load_model
from rocm_core.config import Engine
from rocm_core.doctor.endpoint import preflight_url
from rocm_core.errors import ConfigError
from rocm_core.types import Check
from tests.support.doctor import by_name
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import STALL, FakeServer, Reply, answer, stream

NAMES = [
    "reachable",
    "authenticated",
    "loaded",
    "model",
    "context",
    "chat_template",
    "dry_run",
]  # fmt: skip
NOT_THERE = answer("error_404.b11434", 404)


@pytest.fixture
def fake(scripted: FakeServer) -> FakeServer:
    scripted.script("/health", answer("health.b11434"))
    return scripted


def statuses(checks: list[Check]) -> list[str]:
    return [check.status for check in checks]


def test_a_healthy_server(remote: Server) -> None:
    checks = preflight_url(remote.url or "", remote.api_key, model="reciter", dry_run=True)
    assert [check.name for check in checks] == NAMES
    assert statuses(checks) == ["ok"] * 7
    found = by_name(checks)
    assert found["context"].detail == "8192 tokens in each of 4 slots"
    assert "supports_tools" in found["chat_template"].detail
    assert found["dry_run"].detail.startswith("one token from POST /v1/chat/completions")


def test_nothing_is_generated_unless_it_is_asked_for(fake: FakeServer) -> None:
    checks = preflight_url(fake.url)
    assert statuses(checks)[-1] == "skipped"
    assert {request.method for request in fake.requests} == {"GET"}


def test_nobody_there() -> None:
    checks = preflight_url("http://127.0.0.1:9", dry_run=True)
    assert statuses(checks) == ["failed"] + ["skipped"] * 6
    assert checks[0].remedy == "Start the server, or correct host and port."


@pytest.mark.parametrize("key", [None, "wrong"])
def test_a_missing_or_wrong_key(remote: Server, key: str | None) -> None:
    checks = preflight_url(remote.url or "", key)
    assert statuses(checks)[:3] == ["ok", "failed", "skipped"]
    assert "LLAMA_ROCM_API_KEY" in checks[1].remedy
    assert "wrong" not in str(checks)


def test_a_server_that_is_still_loading(fake: FakeServer) -> None:
    loading = answer("error_503_loading.b11434", 503)
    for path in ("/health", "/props", "/v1/models"):
        fake.script(path, loading)
    found = by_name(preflight_url(fake.url))
    assert found["reachable"].status == "ok"
    assert found["loaded"].status == "failed"
    assert found["loaded"].remedy == "Wait, then try again."


def test_a_stranger_that_answers_200_to_everything(fake: FakeServer) -> None:
    for path in ("/health", "/props", "/v1/models"):
        fake.script(path, answer(b"<html>welcome</html>"))
    checks = preflight_url(fake.url)
    assert statuses(checks)[:2] == ["ok", "failed"]
    assert "correct the URL" in checks[1].remedy


def test_a_model_that_is_not_there(fake: FakeServer) -> None:
    found = by_name(preflight_url(fake.url, model="gone"))
    assert found["model"].status == "warning", "a single-model server answers to any name"
    fake.script("/props", NOT_THERE)
    found = by_name(preflight_url(fake.url, model="gone"))
    assert found["model"].status == "failed"
    assert found["model"].detail == "no 'gone'; there are: demo.gguf"


def test_no_openai_endpoints(fake: FakeServer) -> None:
    fake.script("/v1/models", NOT_THERE)
    fake.script("/completion", stream("completion_stream.b11434"))
    found = by_name(preflight_url(fake.url, dry_run=True))
    assert found["authenticated"].status == "warning"
    assert found["dry_run"].detail.startswith("one token from POST /completion")


def test_a_failing_dry_run_is_a_finding(fake: FakeServer) -> None:
    fake.script("/v1/chat/completions", stream("chat_stream_error.b11434"))
    check = preflight_url(fake.url, headers={"x": "y"}, dry_run=True)[-1]
    assert (check.name, check.status) == ("dry_run", "failed")
    assert fake.requests[-1].headers["x"] == "y"


def test_an_impossible_url_is_no_finding() -> None:
    with pytest.raises(ConfigError):
        preflight_url("ftp://host")


def test_a_local_model_is_looked_at_without_starting_it(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, context_len=1280) as model:
        found = by_name(model.preflight())
        assert [found[n].status for n in ("backend", "engine", "model_file")] == ["ok"] * 3
        assert found["engine"].detail.startswith(engine)
        assert found["dry_run"].status == "skipped"
        assert model.props is None
        found = by_name(model.preflight(dry_run=True))
        assert found["start"].detail == "1280 tokens per slot"
        assert found["dry_run"].status == "ok"
        assert by_name(model.preflight())["context"].status == "ok"


def test_a_damaged_file_is_found_before_anything_starts(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with load_model(tmp_path / "bad.gguf", engine=engine) as model:
        checks = model.preflight(dry_run=True)
    assert checks[-1].name == "model_file"
    assert checks[-1].status == "failed"


def test_a_remote_model_asks_its_server(remote: Server) -> None:
    with load_model(remote.url, api_key=remote.api_key) as model:
        assert statuses(model.preflight(dry_run=True)) == ["ok"] * 7


# -- the way that requests go ------------------------------------------------------------------

CHAT = "/v1/chat/completions"


def test_the_dry_run_takes_the_chosen_endpoints(remote: Server) -> None:
    ways = {"auto": CHAT, "openai": CHAT, "native": "/completion"}
    for api, path in ways.items():
        with load_model(remote.url, api_key=remote.api_key, api=api) as model:
            checks = model.preflight(dry_run=True)
        assert statuses(checks) == ["ok"] * 7
        assert checks[-1].detail.startswith(f"one token from POST {path}, ")
        url = preflight_url(remote.url or "", remote.api_key, dry_run=True, api=api)  # type: ignore[arg-type]
        assert url[-1].detail == checks[-1].detail


@pytest.mark.parametrize("key", [None, "wrong"])
def test_a_wrong_key_of_native_endpoints(remote: Server, key: str | None) -> None:
    checks = preflight_url(remote.url or "", key, api="native")
    assert statuses(checks)[:3] == ["ok", "failed", "skipped"]


def test_native_requests_are_made_of_the_template_with_every_header(fake: FakeServer) -> None:
    fake.script("/apply-template", answer(b'{"prompt": "<user>Hi"}'))
    fake.script("/completion", stream("completion_stream.b11434"))
    with load_model(fake.url, api="native", api_key="k", headers={"x-tenant": "7"}) as model:
        checks = model.preflight(dry_run=True)
    assert checks[-1].status == "ok"
    assert fake.requests[-1].path == "/completion"
    assert fake.requests[-1].body["prompt"] == "<user>Hi"
    assert {request.headers["x-tenant"] for request in fake.requests} == {"7"}
    assert {request.headers["authorization"] for request in fake.requests} == {"Bearer k"}
    assert "/v1/models" not in [request.path for request in fake.requests]


def test_the_dry_run_waits_in_the_queue_of_its_model(fake: FakeServer) -> None:
    with load_model(fake.url, max_in_flight=1, max_queue=1, queue_timeout=0.05) as model:
        model.load()
        with model.connection.limiter.ticket():
            check = model.preflight(dry_run=True)[-1]
    assert (check.name, check.status) == ("dry_run", "failed")
    assert CHAT not in [request.path for request in fake.requests]


def test_vectors_and_scores_are_what_those_models_are_tried_with(
    embedding_model: TextModel, rerank_model: TextModel
) -> None:
    for model, path in ((embedding_model, "/v1/embeddings"), (rerank_model, "/v1/rerank")):
        check = model.preflight(dry_run=True)[-1]
        assert (check.status, check.detail[-len(path) :]) == ("ok", path)


def test_the_connect_limit_of_the_model_holds() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # Linux leaves further connections waiting
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        begun = time.monotonic()
        with load_model(url, connect_timeout=0.3) as model:
            check = model.preflight()[0]
    assert (check.name, check.status) == ("reachable", "failed")
    assert "within 0.3 s" in check.detail
    assert time.monotonic() - begun < 2


def test_the_limits_of_the_model_hold(fake: FakeServer) -> None:
    fake.script("/props", Reply(before=[STALL]))
    begun = time.monotonic()
    with load_model(fake.url, timeout=0.3) as model:
        found = by_name(model.preflight())
    assert found["loaded"].status == "failed"
    assert time.monotonic() - begun < 2


# -- endpoints that are missing ----------------------------------------------------------------


def test_without_apply_template_conversations_have_no_way(fake: FakeServer) -> None:
    fake.script("/v1/models", NOT_THERE)
    fake.script("/completion", stream("completion_stream.b11434"))
    for api in ("auto", "native"):
        with load_model(fake.url, api=api) as model:
            found = by_name(model.preflight(dry_run=True))
        assert found["chat_template"].status == "warning"
        assert "/apply-template" in found["chat_template"].detail
        assert "api='openai'" in found["chat_template"].remedy
        assert found["dry_run"].detail.startswith("one token from POST /completion")
        assert fake.requests[-1].body["prompt"] == "Hi"


def test_a_server_with_chat_but_without_a_list_of_models(fake: FakeServer) -> None:
    for path in ("/v1/models", "/props"):
        fake.script(path, NOT_THERE)
    fake.script(CHAT, stream("chat_stream.b11434"))
    found = by_name(preflight_url(fake.url, dry_run=True))
    assert found["authenticated"].status == "warning"
    assert "api='openai'" in found["authenticated"].remedy
    assert found["dry_run"].status == "failed"
    assert "api='openai'" in found["dry_run"].detail
    found = by_name(preflight_url(fake.url, dry_run=True, api="openai"))
    assert found["authenticated"].status == "skipped"
    assert found["dry_run"].detail.startswith(f"one token from POST {CHAT}")


def test_the_wrong_dialect_is_named_in_a_dry_run(fake: FakeServer) -> None:
    check = preflight_url(fake.url, dry_run=True, api="openai")[-1]
    assert check.status == "failed"
    assert "api='native'" in check.detail
