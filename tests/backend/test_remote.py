"""A server that somebody else runs: its endpoints, its models, the way there."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from rocm_core import Server, load_model
from rocm_core.client import Client, calls
from rocm_core.errors import (
    AuthenticationError,
    ConfigError,
    EndpointNotFound,
    HTTPStatusError,
    ModelNotFound,
    ServerUnreachable,
)
from rocm_core.server import find_engine
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.servers.fake_server import PATIENCE, FakeServer, answer, stream
from tests.support.servers.proxy import Proxy

HELLO = [{"role": "user", "content": "Hello"}]
CHAT = "/v1/chat/completions"
NOT_THERE = answer("error_404.b11434", 404)


@pytest.fixture
def fake(scripted: FakeServer) -> FakeServer:
    scripted.script(CHAT, stream("chat_stream.b11434"))
    scripted.script("/completion", stream("completion_stream.b11434"))
    scripted.script("/v1/completions", stream("v1_completions_stream.b11434"))
    scripted.script("/apply-template", answer("apply_template.b11434"))
    return scripted


def paths(server: FakeServer) -> list[str]:
    return [request.path for request in server.requests]


# -- endpoints --------------------------------------------------------------------------------


def test_the_endpoints_are_asked_for_once_per_base_url(fake: FakeServer) -> None:
    for _ in range(2):
        with load_model(fake.url) as model:
            list(model.chat(HELLO))
            list(model.chat(HELLO))
    with load_model(f"{fake.url}/v1/") as model:
        asyncio.run(model.aload())
    assert paths(fake) == ["/props", "/v1/models", CHAT, CHAT, "/props", CHAT, CHAT, "/props"]


def test_without_openai_endpoints_a_chat_goes_through_the_template(fake: FakeServer) -> None:
    fake.script("/v1/models", NOT_THERE)
    with load_model(fake.url) as model:
        assert [token.id for token in model.chat(HELLO, max_tokens=3, seed=0)]
        list(model.chat_events(HELLO, model._defaults, chat_template_kwargs={"a": 1}, top_n=3))
    asked = [r for r in fake.requests if r.path == "/apply-template"]
    assert asked[0].body == {"messages": HELLO}
    assert asked[1].body["chat_template_kwargs"] == {"a": 1}
    sent = [r.body for r in fake.requests if r.path == "/completion"]
    assert sent[0]["prompt"] and sent[0]["seed"] == 0
    assert sent[1]["top_n"] == 3
    assert CHAT not in paths(fake)


async def test_without_openai_endpoints_for_asyncio(fake: FakeServer) -> None:
    fake.script("/v1/models", NOT_THERE)
    with load_model(fake.url) as model:
        assert [token async for token in model.achat(HELLO)]
    assert paths(fake)[-2:] == ["/apply-template", "/completion"]


@pytest.mark.parametrize("field", ["tools", "response_format", "logprobs"])
def test_what_native_endpoints_cannot_do_is_refused_not_ignored(
    fake: FakeServer, field: str
) -> None:
    with (
        load_model(fake.url, api="native") as model,
        pytest.raises(ConfigError, match=f"{field} needs /v1/chat/completions"),
    ):
        list(model.chat_events(HELLO, model._defaults, **{field: [1]}))


def test_a_wrong_key_is_no_missing_endpoint(fake: FakeServer) -> None:
    fake.script("/v1/models", answer("error_401.b11434", 401))
    with load_model(fake.url) as model, pytest.raises(AuthenticationError, match="api_key"):
        list(model.chat(HELLO))
    fake.script("/v1/models", answer("v1_models.b11434"))
    with load_model(fake.url) as model:  # nothing was remembered of the refusal
        list(model.chat(HELLO))
    assert paths(fake)[-1] == CHAT


@pytest.mark.parametrize(
    ("api", "chat", "completion"),
    [("openai", CHAT, "/v1/completions"), ("native", "/completion", "/completion")],
)
def test_endpoints_can_be_chosen(fake: FakeServer, api: Any, chat: str, completion: str) -> None:
    with load_model(fake.url, api=api) as model:
        list(model.chat(HELLO))
        assert paths(fake)[-1] == chat
        list(model.generate("x"))
        assert paths(fake)[-1] == completion
    assert "/v1/models" not in paths(fake)


def test_a_server_that_is_no_llama_server_gets_openai_requests_only(fake: FakeServer) -> None:
    fake.script("/props", NOT_THERE)
    with load_model(fake.url) as model:
        list(model.generate("x"))
        assert fake.requests[-1].path == "/v1/completions"
        assert fake.requests[-1].body["model"] == "demo.gguf", "its only model"
        with pytest.raises(ConfigError, match="Use stop strings"):
            model.connection.call(_question(stop_token_ids=[1]))


def _question(**options: Any) -> Any:
    from rocm_core.client import Completion
    from rocm_core.config import GenerateConfig

    return Completion("x", GenerateConfig(**options))


def test_chat_without_any_endpoint_names_the_url(fake: FakeServer) -> None:
    for path in ("/props", "/v1/models", "/apply-template"):
        fake.script(path, NOT_THERE)
    with (
        load_model(fake.url) as model,
        pytest.raises(EndpointNotFound, match="apply-template.*base URL"),
    ):
        list(model.chat(HELLO))


@pytest.mark.parametrize(
    ("api", "missing", "remedy"),
    [
        ("auto", ("/v1/models", "/apply-template"), "Give api='openai' if it has /v1/chat"),
        ("native", ("/apply-template",), "Give api='openai' if it has /v1/chat"),
        ("native", ("/completion",), "Give api='openai' if it has /v1/chat"),
        ("openai", (CHAT,), "Give api='native' if the server has llama-server's own"),
        ("auto", (CHAT,), "Give api='native' if the server has llama-server's own"),
    ],
)
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_missing_endpoint_of_a_chat_names_the_api_that_helps(
    fake: FakeServer, api: Any, missing: tuple[str, ...], remedy: str, status: int
) -> None:
    for path in missing:
        fake.script(path, answer(b"File Not Found", status))
    with load_model(fake.url, api=api) as model:
        for ask in (lambda: list(model.chat(HELLO)), lambda: asyncio.run(_first(model))):
            with pytest.raises(HTTPStatusError, match=remedy) as caught:
                ask()
            assert caught.value.status == status


@pytest.mark.parametrize(
    ("api", "missing", "remedy"),
    [
        ("auto", "/completion", "Give api='openai' if the server has /v1/completions"),
        ("openai", "/v1/completions", "Give api='native' if the server has llama-server's own"),
    ],
)
def test_a_missing_endpoint_of_a_completion_names_it_too(
    fake: FakeServer, api: Any, missing: str, remedy: str
) -> None:
    fake.script(missing, NOT_THERE)
    with load_model(fake.url, api=api) as model, pytest.raises(EndpointNotFound, match=remedy):
        list(model.generate("x"))


def test_a_missing_model_is_no_missing_endpoint(fake: FakeServer) -> None:
    fake.script(CHAT, answer(b'{"error": {"message": "The model `x` does not exist."}}', 404))
    with load_model(fake.url) as model, pytest.raises(EndpointNotFound) as caught:
        list(model.chat(HELLO))
    assert "api=" not in str(caught.value)


def test_both_ways_say_the_same_on_a_real_server(remote: Server) -> None:
    for api in ("openai", "native"):
        with load_model(remote.url, api_key=remote.api_key, api=api) as model:
            assert "".join(token.text for token in model.chat(HELLO)) == ANSWER
            assert "".join(t.text for t in model.generate("x", max_tokens=3)) == "Hello! I am"


# -- the way there ----------------------------------------------------------------------------


def test_headers_go_with_every_request(fake: FakeServer) -> None:
    with load_model(fake.url, headers={"X-Tenant": "7"}, api_key="k") as model:
        list(model.chat(HELLO))
        asyncio.run(anext(aiter(model.achat(HELLO))))  # type: ignore[arg-type]
    assert {r.headers["x-tenant"] for r in fake.requests} == {"7"}
    assert {r.headers["authorization"] for r in fake.requests} == {"Bearer k"}


def test_behind_a_prefix_of_a_proxy(remote: Server) -> None:
    with Proxy(remote.url or "", prefix="/gpu/one") as proxy:
        for url in (proxy.url, f"{proxy.url}/v1/"):
            with load_model(url, api_key=remote.api_key) as model:
                assert "".join(token.text for token in model.chat(HELLO)) == ANSWER
                assert model.metrics()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(remote: Server, authority: trustme.CA) -> Iterator[Proxy]:
    """A proxy that asks for a client's certificate, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    with Proxy(remote.url or "", tls=context) as proxy:
        yield proxy


def test_a_certificate_of_an_unknown_authority_is_refused(secured: Proxy) -> None:
    with load_model(secured.url) as model, pytest.raises(ServerUnreachable, match="certificate"):
        list(model.chat(HELLO))


async def test_tls_with_an_authority_of_ones_own(
    secured: Proxy, remote: Server, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    authority.issue_cert("me@example.org").private_key_and_cert_chain_pem.write_to_path(str(client))
    ways: list[dict[str, Any]] = [
        {"ca_file": ca_file},
        {"ca_file": ca_file, "client_cert": client},
        {"verify_tls": False},
    ]
    for way in ways:
        with load_model(secured.url, api_key=remote.api_key, **way) as model:
            assert "".join(token.text for token in model.chat(HELLO)) == ANSWER
            assert "".join([token.text async for token in model.achat(HELLO)]) == ANSWER


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for option in ("ca_file", "client_cert"):
        with pytest.raises(ConfigError, match="ca_file, client_cert"):
            options: dict[str, Any] = {option: tmp_path / "gone.pem"}
            load_model("https://127.0.0.1:1", **options)
    with pytest.raises(ConfigError, match="client_key needs client_cert"):
        load_model("https://127.0.0.1:1", client_key=tmp_path / "key.pem")


def test_local_options_with_a_url_are_told_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            load_model("http://127.0.0.1:1", gpu_layers=3, lora=["x"], max_queue=3).close()
    (told,) = [str(warning.message) for warning in caught]
    assert told == "gpu_layers, lora: no effect on a server that already runs"


# -- several models ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("b", "b"),
        ("second", "b"),
        ("/models/big.Q4.gguf", "/models/big.Q4.gguf"),
        ("big.Q4.gguf", "/models/big.Q4.gguf"),
        ("big.Q4", "/models/big.Q4.gguf"),
        ("big", None),
    ],
)
def test_a_model_is_named_by_id_alias_or_file(name: str, found: str | None) -> None:
    there: list[dict[str, Any]] = [
        {"id": "a"},
        {"id": "b", "aliases": ["second"]},
        {"id": "/models/big.Q4.gguf", "aliases": None},
        {},
    ]
    assert calls.find_model(there, name) == found
    assert calls.model_ids(there) == ["a", "b", "/models/big.Q4.gguf"]


@pytest.fixture(scope="module")
def router(llama_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real llama-server in router mode, with two models; its key is ``k``."""
    home = tmp_path_factory.mktemp("router")
    (home / "models").mkdir()
    for name in ("alpha", "beta"):
        os.link(_copy(home), home / "models" / f"{name}.gguf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    env |= {"LLAMA_API_KEY": "k", "LLAMA_CACHE": str(home / "cache")}
    arguments = ["--models-dir", str(home / "models"), "--host", "127.0.0.1", "--port", str(port)]
    command = [*find_engine("binary").argv, *arguments, "-t", "1", "-c", "1024", "--metrics"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _await_answer(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _copy(home: Path) -> Path:
    copy = home / "reciter.gguf"
    if not copy.exists():
        copy.write_bytes(Path(RECITER).read_bytes())
    return copy


def _await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    turn = threading.Event()
    with Client(url) as client:
        while process.poll() is None:
            try:
                client.health()
                return
            except ServerUnreachable:
                turn.wait(0.05)
    raise AssertionError(f"the router ended with {process.returncode}")


def test_a_routers_model_is_loaded_on_demand_and_asked_by_name(router: str) -> None:
    with (
        load_model(router, api_key="k", model_name="alpha.gguf") as alpha,
        load_model(router, api_key="k", model_name="beta") as beta,
    ):
        assert alpha.info.name == "alpha"
        assert alpha.info.n_ctx == 1024
        assert "".join(token.text for token in alpha.chat(HELLO)) == ANSWER
        assert "".join(t.text for t in beta.generate("x", max_tokens=3)) == "Hello! I am"
        assert alpha.tokenize("x") == beta.tokenize("x")
        assert alpha.metrics()["tokens_predicted_total"] > 3
        assert len(beta.connection.client.slots()) == 4
        assert alpha.connection.limiter.queue is not beta.connection.limiter.queue
        assert asyncio.run(_first(beta)) == "Hello!"


async def _first(model: Any) -> str:
    token = await anext(aiter(model.achat(HELLO)))
    return str(token.text)


def test_a_model_that_a_router_lacks_is_told_with_those_it_has(router: str) -> None:
    with (
        load_model(router, api_key="k", model_name="gamma") as model,
        pytest.raises(ModelNotFound, match=r"no model 'gamma'\. There are: alpha, beta"),
    ):
        list(model.chat(HELLO))
    with (
        load_model(router, api_key="k") as model,
        pytest.raises(ModelNotFound, match=r"several models: name one.*alpha, beta"),
    ):
        asyncio.run(model.aload())


@pytest.mark.parametrize("api", ["auto", "native"])
def test_preflight_of_a_routers_model(router: str, api: Any) -> None:
    with load_model(router, api_key="k", model_name="alpha.gguf", api=api) as model:
        checks = {check.name: check for check in model.preflight()}
        assert checks["model"].detail == "alpha"
        assert not {"failed", "warning"} & {check.status for check in checks.values()}
        assert model.preflight(dry_run=True)[-1].status == "ok"
    with load_model(router, api_key="k", api=api) as model:
        checks = {check.name: check for check in model.preflight(dry_run=True)}
    assert checks["model"].detail == "none was named; there are: alpha, beta"


def test_the_adapters_reach_a_router_too(router: str) -> None:
    from langchain_rocm import ChatRocm

    chat = ChatRocm(base_url=router, model="alpha", api_key="k", headers={"x": "y"})  # type: ignore[arg-type, dict-item]
    assert chat.invoke("Hello").text == ANSWER
    chat.close()
