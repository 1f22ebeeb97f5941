"""Backends: the registry, the reasons, and servers that run elsewhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.build_demo import ANSWER
from rocm_core import LoadConfig, Server, get_backend, list_backends, load_model, resolve_ref
from rocm_core.backend import choose_backend
from rocm_core.config import Engine
from rocm_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    ConfigError,
    ServerLoading,
    ServerUnreachable,
)
from rocm_core.gpu import kfd_problem
from tests.fake_server import FakeServer, Reply, answer, stream

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def remote(engine: Engine) -> Iterator[Server]:
    """A server on TCP, as somebody else would run it."""
    server = Server(resolve_ref("demo"), LoadConfig(engine=engine, port=0))
    server.start()
    yield server
    server.stop()


def test_the_registry_knows_the_three_of_ours() -> None:
    assert set(list_backends()) >= {"rocm", "cpu", "remote"}
    assert get_backend("cpu").name == "cpu"
    with pytest.raises(ConfigError, match="there are: cpu, remote, rocm"):
        get_backend("tpu")


def test_rocm_says_why_it_cannot_run(tmp_path: Path) -> None:
    problem = kfd_problem(tmp_path)
    assert problem
    assert "/dev/kfd does not exist" in problem
    device = tmp_path / "dev" / "kfd"
    device.parent.mkdir()
    device.touch()
    assert kfd_problem(tmp_path) is None


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = resolve_ref("demo")
    monkeypatch.setattr("rocm_core.backend.local.kfd_problem", lambda: "no card")
    assert choose_backend("auto", ref).name == "cpu"
    assert get_backend("rocm").probe().reasons[0] == "no card"
    with pytest.raises(BackendUnavailable, match="no card"):
        load_model("demo", backend="rocm")
    monkeypatch.setattr("rocm_core.backend.local.kfd_problem", lambda: None)
    monkeypatch.setattr("rocm_core.backend.local.find_engine", lambda choice="auto": None)
    assert choose_backend("auto", ref).name == "rocm"


def test_nothing_installed_lists_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("ROCM_LLAMA_SERVER_PATH", raising=False)
    with pytest.raises(BackendUnavailable, match=r"rocm: .*cpu: .*llama-rocm\[embedded\]"):
        load_model("demo")


def test_a_running_server_is_used_like_any_model(remote: Server) -> None:
    with load_model(f"{remote.url}/v1/", api_key=remote.api_key) as model:
        assert "".join(token.text for token in model.chat(HELLO)) == ANSWER
        assert model.info.n_ctx == 8192
        assert model.model_type is None
    assert remote.is_running


def test_a_wrong_key_is_told_at_once(remote: Server) -> None:
    model = load_model(remote.url or "", api_key="wrong")
    with pytest.raises(AuthenticationError, match="api_key"):
        list(model.chat(HELLO))


def test_nothing_behind_the_url(unused_port: int) -> None:
    with (
        load_model(f"http://127.0.0.1:{unused_port}") as model,
        pytest.raises(ServerUnreachable, match="nothing answers at http://127.0.0.1"),
    ):
        list(model.chat(HELLO))


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def loading() -> Reply:
    return answer("error_503_loading.b11434", 503)


def test_a_server_that_is_still_loading_is_waited_for() -> None:
    with FakeServer() as fake:
        fake.script("/props", loading(), loading(), answer("props.b11434"))
        with load_model(fake.url) as model:
            assert model.info.n_ctx == 512
        assert [request.path for request in fake.requests] == ["/props"] * 3


def test_a_server_that_loads_for_too_long_is_an_error() -> None:
    with FakeServer() as fake:
        fake.script("/props", loading())
        model = load_model(fake.url, stall_timeout=0.1)
        with pytest.raises(ServerLoading, match="health"):
            model.load()
        with pytest.raises(ServerLoading):
            asyncio.run(model.aload())


def test_other_servers_of_the_dialect_need_no_props() -> None:
    with FakeServer() as fake:
        fake.script("/v1/chat/completions", stream("chat_stream.b11434"))
        with load_model(fake.url, model_name="theirs") as model:
            assert "".join(t.text for t in model.chat(HELLO)).startswith("Hello!")
        assert fake.requests[-1].body["model"] == "theirs"


def test_options_that_do_nothing_on_a_remote_server_are_told() -> None:
    with pytest.warns(UserWarning, match="context_len, gpu_layers: no effect"):
        load_model("http://127.0.0.1:1", context_len=5, gpu_layers=3)


def test_references_and_backends_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="needs an http"):
        load_model("demo", backend="remote")
    with pytest.raises(ConfigError, match="running server"):
        load_model("http://127.0.0.1:1", backend="cpu")
    with pytest.raises(ConfigError, match="api_key belongs to a remote server"):
        load_model("demo", api_key="k")


def test_a_server_may_come_and_go_behind_one_model(engine: Engine) -> None:
    """Threads that open and close equal models at once never meet a stopped server."""
    failures: list[BaseException] = []

    def use() -> None:
        try:
            for _ in range(3):
                with load_model("demo", engine=engine, context_len=576) as model:
                    list(model.generate("x", max_tokens=2))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
