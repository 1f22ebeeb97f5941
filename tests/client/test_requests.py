"""What a request carries: its body, its address, its headers, and no secret where it shows."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import httpx
import pytest

from rocm_core.client import AsyncClient, Client, StreamCall, calls
from rocm_core.config import GenerateConfig
from rocm_core.errors import AuthenticationError, ConfigError
from tests.support.servers.asking import DEMO_TEXT, HI, Ask, at, text_of
from tests.support.servers.fake_server import FakeServer, answer, capture, stream

# -- request bodies -------------------------------------------------------------------------


SECRET = "sk-very-secret"


def body_of(call: StreamCall) -> dict[str, Any]:
    """The body as it goes over the wire."""
    bodies: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, content=capture("chat_stream.b11434"))

    with Client(transport=httpx.MockTransport(handle)) as client:
        list(client.stream(call))
    return bodies[0]


NATIVE = {"prompt": "Hi", "stream": True}


def test_zeros_are_sent() -> None:
    config = GenerateConfig(max_tokens=0, temperature=0.0, seed=0, top_k=0, top_p=0.0)

    body = body_of(calls.completion("Hi", config))

    assert body == NATIVE | {"n_predict": 0, "temperature": 0.0, "seed": 0, "top_k": 0, "top_p": 0}


def test_false_is_sent() -> None:
    config = GenerateConfig(max_tokens=None, temperature=None, ignore_eos=False, cache_prompt=False)

    assert body_of(calls.completion("Hi", config)) == NATIVE | {
        "ignore_eos": False,
        "cache_prompt": False,
    }


def test_unset_options_are_not_sent() -> None:
    assert body_of(calls.completion("Hi", GenerateConfig(None, None))) == NATIVE


def test_defaults_of_the_contract_are_greedy_and_256_tokens() -> None:
    body = body_of(calls.completion("Hi", GenerateConfig()))

    assert body == NATIVE | {"n_predict": 256, "temperature": 0.0}


def test_every_option_has_a_field_on_the_wire() -> None:
    values: dict[str, Any] = {
        "max_tokens": 1, "temperature": 0.1, "top_k": 2, "top_p": 0.2, "min_p": 0.3,
        "typical_p": 0.4, "repeat_penalty": 1.1, "repeat_last_n": 3, "presence_penalty": 0.5,
        "frequency_penalty": 0.6, "seed": 4, "stop": ["a", "b"], "grammar": "root ::= [a-z]",
        "logit_bias": [[5, -1.0]], "ignore_eos": True, "cache_prompt": True, "n_keep": 5,
        "top_n_sigma": 1.0, "xtc_probability": 0.1, "xtc_threshold": 0.2, "dynatemp_range": 0.3,
        "dynatemp_exponent": 1.1, "dry_multiplier": 0.8, "dry_base": 1.7, "dry_allowed_length": 2,
        "dry_penalty_last_n": 64, "dry_sequence_breakers": ["\n"], "mirostat": 2,
        "mirostat_tau": 5.0, "mirostat_eta": 0.1, "samplers": ["top_k"], "min_keep": 1,
        "id_slot": 0, "adaptive_target": 0.5, "adaptive_decay": 0.9, "t_max_predict_ms": 100,
        "n_indent": 1, "n_discard": 2, "n_cache_reuse": 3, "n_probs": 4,
        "post_sampling_probs": True, "backend_sampling": True, "n": 2,
    }  # fmt: skip
    schema = {"type": "object"}
    names = {field.name for field in dataclasses.fields(GenerateConfig)}
    ours = {"stop_token_ids", "timeout", "coalesce", "template_date", "allow_long_runs", "extra"}
    assert names == {*values, "json_schema", *ours}

    native = body_of(calls.completion("Hi", GenerateConfig(**values)))
    chat = body_of(calls.chat(HI, GenerateConfig(max_tokens=1, json_schema=schema)))

    del values["max_tokens"]
    assert native == NATIVE | values | {"n_predict": 1}
    assert (chat["max_tokens"], chat["json_schema"]) == (1, schema)


@pytest.mark.parametrize("stop", ["\n\n", ["\n\n"], ("\n\n",)])
def test_stop_is_sent_as_a_list(stop: str | list[str]) -> None:
    body = body_of(calls.text_completion("Hi", GenerateConfig(None, None, stop=stop)))

    assert body["stop"] == ["\n\n"]


def test_extra_fields_pass_through_and_win() -> None:
    config = GenerateConfig(None, temperature=0.5, extra={"mirostat": 0, "temperature": 1})

    assert body_of(calls.completion("Hi", config)) == NATIVE | {"mirostat": 0, "temperature": 1}


def test_stop_token_ids_make_the_chat_dialect_carry_ids() -> None:
    plain = body_of(calls.chat(HI, GenerateConfig()))
    body = body_of(calls.chat(HI, GenerateConfig(stop_token_ids=[2])))

    assert body == plain | {"logprobs": True, "top_logprobs": 1}
    assert "logprobs" not in body_of(calls.completion("Hi", GenerateConfig(stop_token_ids=[2])))


def test_chat_fields_pass_through_unless_they_are_none() -> None:
    tools = [{"type": "function", "function": {"name": "get_time"}}]

    body = body_of(calls.chat(HI, GenerateConfig(), tools=tools, tool_choice=None))

    assert body["tools"] == tools
    assert "tool_choice" not in body


def test_model_is_sent_where_it_is_named() -> None:
    assert body_of(calls.chat(HI, GenerateConfig(), "big"))["model"] == "big"
    assert body_of(calls.text_completion("Hi", GenerateConfig(), "big"))["model"] == "big"
    assert "model" not in body_of(calls.chat(HI, GenerateConfig()))


def test_stream_options_of_the_caller_win() -> None:
    body = body_of(calls.chat(HI, GenerateConfig(), stream_options={"include_usage": False}))

    assert body["stream_options"] == {"include_usage": False}


@pytest.mark.parametrize("value", [object(), {1, 2}, 1 << 70, "\ud800"])
def test_what_json_cannot_carry_is_a_config_error(ask: Ask, value: object) -> None:
    config = GenerateConfig(extra={"field": value})

    with pytest.raises(ConfigError, match="JSON"):
        ask({}, "chat", HI, config)
    with pytest.raises(ConfigError, match="JSON"):
        ask({}, "tokenize", value)


@pytest.mark.parametrize("messages", ["Hi", ["Hi"], [("user", "Hi")]])
def test_what_is_no_message_is_a_config_error(ask: Ask, messages: Any) -> None:
    with pytest.raises(ConfigError, match="role"):
        ask({}, "chat", messages)


# -- addresses, headers, secrets ------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize("prefix", ["", "/llama"])
def test_base_url_with_and_without_v1(
    server: FakeServer, ask: Ask, prefix: str, suffix: str
) -> None:
    server.script(f"{prefix}/health", answer("health.b11434"))
    server.script(f"{prefix}/v1/chat/completions", stream("chat_stream.b11434"))
    settings = {"base_url": server.url + prefix + suffix}

    assert ask(settings, "health") == "ok"
    assert text_of(ask(settings, "chat", HI)) == DEMO_TEXT


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    [
        "", "localhost:8080", "ftp://localhost", "unix:/tmp/s.sock", "http://", "http:///v1",
        "http://localhost:port", "http://localhost:99999", "http://..", "http://a\nb", "http://xn--",
    ],
)  # fmt: skip
def test_unusable_url_is_a_config_error(kind: type[Client] | type[AsyncClient], url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        kind(url)


def test_headers_of_every_request(server: FakeServer, ask: Ask) -> None:
    server.script("/health", answer("health.b11434"))

    ask(at(server, headers={"x-mine": "1"}), "health")

    headers = server.requests[0].headers
    assert headers["connection"] == "close"
    assert headers["accept-encoding"] == "identity"
    assert headers["content-type"] == "application/json"
    assert headers["x-mine"] == "1"
    assert "authorization" not in headers


def test_key_is_sent_and_never_shown(server: FakeServer, ask: Ask) -> None:
    server.script("/props", answer("error_401.b11434", 401))
    settings = at(server, api_key=SECRET)

    with pytest.raises(AuthenticationError) as caught:
        ask(settings, "props")

    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str(caught.value)
    for client in (Client(**settings), AsyncClient(**settings)):
        assert SECRET not in repr(client)
        assert server.url in repr(client)


@pytest.mark.parametrize("key", [f"{SECRET}\n", f"{SECRET} ", f"{SECRET}é", f"{SECRET}\0"])
def test_key_that_http_cannot_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match="authorization") as caught:
        Client(api_key=key)

    assert SECRET not in str(caught.value)


def test_password_in_the_url_is_sent_and_never_shown(server: FakeServer, ask: Ask) -> None:
    server.script("/props", answer("error_401.b11434", 401))
    url = server.url.replace("//", f"//me:{SECRET}@")

    with pytest.raises(AuthenticationError) as caught:
        ask({"base_url": url}, "props")

    assert server.requests[0].headers["authorization"].startswith("Basic ")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(Client(url))
    assert Client(url).address == server.url


def test_proxy_of_the_environment_is_not_used(
    server: FakeServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.script("/health", answer("health.b11434"))

    assert ask(at(server), "health") == "ok"


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "CONNECTION", "Upgrade", "TE", "Trailer", "Expect"],
)
def test_no_header_is_one_of_the_connection(name: str) -> None:
    with pytest.raises(ConfigError, match="belong to the connection"):
        Client("http://there", headers={"X-Team": "a", name: "1"})


@pytest.mark.parametrize("headers", [{"X": 1}, {"X": None}, {1: "x"}, {"X": b"x"}])
def test_headers_are_texts(headers: Any) -> None:
    with pytest.raises(ConfigError, match="are texts"):
        Client("http://there", headers=headers)


def test_a_header_comes_once_however_it_is_written(server: FakeServer, ask: Ask) -> None:
    headers = {"AUTHORIZATION": "theirs", "user-AGENT": "mine"}
    server.script("/health", answer("health.b11434"))
    ask(at(server, api_key="key", headers=headers), "health")
    sent = server.request().headers
    assert (sent["authorization"], sent["user-agent"]) == ("Bearer key", "mine")
