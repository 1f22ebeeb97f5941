"""Client and AsyncClient against a scripted server: requests, answers, limits, breaking off."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from rocm_core.client import AsyncClient, Call, Client, StreamCall, calls
from rocm_core.client.base import Wire
from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.errors import (
    AuthenticationError,
    ConfigError,
    ContextOverflow,
    EndpointNotFound,
    GenerationError,
    NotSupported,
    ProtocolError,
    RequestTimeout,
    RocmError,
    ServerBusy,
    ServerDied,
    ServerLoading,
    ServerUnreachable,
    StreamInterrupted,
)
from rocm_core.types import Message, StreamEvent
from tests.fake_server import (
    CUT,
    PATIENCE,
    RESET,
    STALL,
    FakeServer,
    Fault,
    Reply,
    Step,
    answer,
    capture,
    stream,
)

HI = [Message("user", "Hi")]
SECRET = "sk-very-secret"
DEMO_TEXT = "Hello! I am the small demo model"
PINGS: list[Step] = [b":\n\n", 0.02] * 1000


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


Ask = Callable[..., Any]


def ask_sync(settings: Mapping[str, Any], method: str, *args: Any, **options: Any) -> Any:
    with Client(**settings) as client:
        result = getattr(client, method)(*args, **options)
        return list(result) if isinstance(result, Iterator) else result


def ask_async(settings: Mapping[str, Any], method: str, *args: Any, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(**settings) as client:
            result = getattr(client, method)(*args, **options)
            if isinstance(result, AsyncIterator):
                return [event async for event in result]
            return await result

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Call one method of a new client, of either kind; streams are read to their end."""
    chosen: Ask = request.param
    return chosen


def at(server: FakeServer, **settings: Any) -> dict[str, Any]:
    return {"base_url": server.url, **settings}


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events)


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
        ("rerank", ("q", ["a"], 0), "POST /v1/rerank",
         {"query": "q", "documents": ["a"], "top_n": 0}, RANKS, [(1, 0.5), (0, -2.5)]),
        ("call", (calls.set_lora_adapters({0: 0.0}),), "POST /lora-adapters",
         [{"id": 0, "scale": 0.0}], b'{"success":true}', {"success": True}),
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


# -- request bodies -------------------------------------------------------------------------


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
        "id_slot": 0,
    }  # fmt: skip
    schema = {"type": "object"}
    names = {field.name for field in dataclasses.fields(GenerateConfig)}
    assert names == {*values, "json_schema", "stop_token_ids", "timeout", "coalesce", "extra"}

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


# -- errors of the server -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capture_name", "status", "cls"),
    [
        ("error_400_context.b11434", 400, ContextOverflow),
        ("error_401.b11434", 401, AuthenticationError),
        ("error_404.b11434", 404, EndpointNotFound),
        ("error_501_embeddings.b11434", 501, NotSupported),
        ("error_503_loading.b11434", 503, ServerLoading),
        ("error_503_no_slot.b11434", 503, ServerBusy),
        ("error_image.b11434", 500, GenerationError),
    ],
)
def test_error_of_the_server_has_its_class(
    server: FakeServer, ask: Ask, capture_name: str, status: int, cls: type[RocmError]
) -> None:
    for path in ("/v1/embeddings", "/v1/chat/completions"):
        server.script(path, answer(capture_name, status))

    for method, argument in (("embeddings", ["a"]), ("chat", HI)):
        with pytest.raises(cls) as caught:
            ask(at(server), method, argument)
        assert type(caught.value) is cls


def test_error_inside_a_stream_comes_after_its_text(server: FakeServer) -> None:
    server.script("/v1/chat/completions", stream("chat_stream_error.b11434"))
    events: list[StreamEvent] = []

    with (
        Client(server.url) as client,
        pytest.raises(GenerationError, match="Context size has been exceeded"),
    ):
        events.extend(event for event in client.chat(HI))

    assert text_of(events).endswith("it was streamed to you")


@pytest.mark.parametrize(
    ("method", "args", "path", "body"),
    [
        ("health", (), "/health", b"rubbish"),
        ("health", (), "/health", b"{}"),
        ("health", (), "/health", b"[]"),
        ("props", (), "/props", b"[]"),
        ("props", (), "/props", b'{"total_slots":"many"}'),
        ("props", (), "/props", b'{"default_generation_settings":7}'),
        ("metrics", (), "/metrics", b"llamacpp:requests many\n"),
        ("embeddings", (["a"],), "/v1/embeddings", b'{"data":[{"index":0}]}'),
        ("embeddings", (["a"],), "/v1/embeddings", b'{"data":7}'),
        ("rerank", ("q", ["a"]), "/v1/rerank", b'{"results":[{"index":0}]}'),
        ("rerank", ("q", ["a"]), "/v1/rerank", b'{"results":[null]}'),
    ],
)
def test_answer_of_an_unknown_shape_is_a_protocol_error(
    server: FakeServer, ask: Ask, method: str, args: tuple[Any, ...], path: str, body: bytes
) -> None:
    server.script(path, answer(body))

    with pytest.raises(ProtocolError):
        ask(at(server), method, *args)


# -- limits ---------------------------------------------------------------------------------

NEVER = Timeouts(connect=None, first_token=None, idle=None, total=None)


def limited(**limits: float) -> Timeouts:
    """No limit but these."""
    return dataclasses.replace(NEVER, **limits)


@contextlib.contextmanager
def nobody_accepts() -> Iterator[str]:
    """The URL of a socket whose queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.05)
            try:
                filler.connect(listener.getsockname())
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def timed_out(ask: Ask, settings: Mapping[str, Any], method: str, *args: Any) -> RequestTimeout:
    """The timeout that ends this request, in good time."""
    start = time.monotonic()
    with pytest.raises(RequestTimeout) as caught:
        ask(settings, method, *args)
    assert time.monotonic() - start < PATIENCE / 2
    return caught.value


def test_connect_limit(ask: Ask) -> None:
    with nobody_accepts() as url:
        error = timed_out(ask, {"base_url": url, "timeouts": limited(connect=0.1)}, "health")

    assert error.phase == "connect"
    assert url in str(error)


@pytest.mark.parametrize(("method", "argument"), [("tokenize", "Hi"), ("completion", "Hi")])
def test_first_token_limit(server: FakeServer, ask: Ask, method: str, argument: str) -> None:
    server.script(f"/{method}", Reply(before=[STALL]))

    error = timed_out(ask, at(server, timeouts=limited(first_token=0.1)), method, argument)

    assert error.phase == "first_token"
    assert server.request().disconnected.wait(PATIENCE)


def test_first_token_limit_while_the_server_does_not_even_read(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {"base_url": url, "timeouts": limited(first_token=0.1)}

        error = timed_out(ask, settings, "completion", "x" * 20_000_000)

    assert error.phase == "first_token"


def test_idle_limit(server: FakeServer, ask: Ask) -> None:
    server.script("/completion", stream("completion_stream.b11434", STALL))

    error = timed_out(ask, at(server, timeouts=limited(idle=0.1)), "completion", "Hi")

    assert error.phase == "idle"
    assert server.request().disconnected.wait(PATIENCE)


def test_first_token_limit_ends_with_the_first_token(server: FakeServer, ask: Ask) -> None:
    server.script("/completion", stream("completion_stream.b11434", 0.6))

    events = ask(at(server, timeouts=limited(first_token=0.3)), "completion", "Hi")

    assert events[-1].finish_reason == "length"


def test_pings_reset_the_idle_limit(server: FakeServer, ask: Ask) -> None:
    server.script("/completion", stream("completion_stream.b11434", *PINGS[:80]))
    start = time.monotonic()

    events = ask(at(server, timeouts=limited(idle=0.5)), "completion", "Hi")

    assert time.monotonic() - start > 0.5
    assert events[-1].finish_reason == "length"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(before=[STALL]), id="silence from the start"),
        pytest.param(stream("completion_stream.b11434", STALL), id="silence after a token"),
        pytest.param(stream("completion_stream.b11434", *PINGS), id="pings"),
    ],
)
@pytest.mark.parametrize("others", [{}, {"first_token": 15.0, "idle": 15.0}])
def test_total_limit(server: FakeServer, ask: Ask, reply: Reply, others: dict[str, float]) -> None:
    server.script("/completion", reply)

    error = timed_out(ask, at(server, timeouts=limited(total=0.2, **others)), "completion", "Hi")

    assert error.phase == "total"
    assert "0.2 s" in str(error)


def test_total_limit_of_an_answer_that_is_no_stream(server: FakeServer, ask: Ask) -> None:
    server.script("/tokenize", Reply(before=[STALL]))

    error = timed_out(ask, at(server, timeouts=limited(total=0.2)), "tokenize", "Hi")

    assert error.phase == "total"


def test_other_limits_keep_their_name_beside_a_total(server: FakeServer, ask: Ask) -> None:
    server.script("/completion", stream("completion_stream.b11434", STALL))

    error = timed_out(ask, at(server, timeouts=limited(idle=0.1, total=15)), "completion", "Hi")

    assert error.phase == "idle"


def test_limits_of_one_request_win_over_the_clients(server: FakeServer, ask: Ask) -> None:
    server.script("/completion", Reply(before=[STALL]))
    call = calls.completion("Hi", GenerateConfig())

    error = timed_out(ask, at(server, timeouts=NEVER), "stream", call, limited(first_token=0.1))

    assert error.phase == "first_token"


# -- broken connections ---------------------------------------------------------------------


def test_refused_connection_names_the_address(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    for method, argument in (("tokenize", "Hi"), ("completion", "Hi")):
        with pytest.raises(ServerUnreachable, match=url):
            ask({"base_url": url}, method, argument)


# httpcore leaves a unix socket that it could not connect to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_missing_unix_socket_names_its_path(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "none.sock"

    with pytest.raises(ServerUnreachable, match=f"unix:{path}"):
        ask({"uds": path}, "health")

    gc.collect()


@pytest.mark.parametrize("fault", [CUT, RESET])
@pytest.mark.parametrize(("method", "argument"), [("tokenize", "Hi"), ("completion", "Hi")])
def test_connection_that_breaks_before_any_answer(
    server: FakeServer, ask: Ask, method: str, argument: str, fault: Fault
) -> None:
    server.script(f"/{method}", Reply(before=[fault]))

    with pytest.raises(ServerUnreachable, match=server.url):
        ask(at(server), method, argument)


def test_answer_that_breaks_off_is_no_answer(server: FakeServer, ask: Ask) -> None:
    body = capture("tokenize.b11434")
    server.script("/tokenize", Reply([body[:10], CUT, body[10:]]))

    with pytest.raises(ServerUnreachable, match="broke"):
        ask(at(server), "tokenize", "Hi")


@pytest.mark.parametrize("fault", [CUT, RESET])
@pytest.mark.parametrize(
    ("method", "argument", "path", "body"),
    [
        ("completion", "Hi", "/completion", "completion_stream.b11434"),
        ("chat", HI, "/v1/chat/completions", "chat_stream.b11434"),
    ],
)
def test_stream_that_breaks_off_is_interrupted(
    server: FakeServer, ask: Ask, method: str, argument: Any, path: str, body: str, fault: Fault
) -> None:
    server.script(path, stream(body, fault))

    with pytest.raises(StreamInterrupted):
        ask(at(server), method, argument)


def test_stream_that_ends_properly_but_without_its_end_marker_is_interrupted(
    server: FakeServer, ask: Ask
) -> None:
    body = capture("chat_stream.b11434").removesuffix(b"data: [DONE]\n\n")
    server.script("/v1/chat/completions", stream(body))

    with pytest.raises(StreamInterrupted, match="incomplete"):
        ask(at(server), "chat", HI)


def test_text_before_an_interruption_is_delivered(server: FakeServer) -> None:
    server.script("/completion", stream("completion_stream.b11434", CUT))
    events: list[StreamEvent] = []

    with Client(server.url) as client, pytest.raises(StreamInterrupted):
        events.extend(event for event in client.completion("Hi"))

    assert text_of(events) == " llama-rocm"


# -- a better reason ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "cls"),
    [
        (Reply(before=[CUT]), ServerUnreachable),
        (stream("completion_stream.b11434", CUT), StreamInterrupted),
    ],
)
def test_diagnosis_replaces_the_error_and_keeps_it_as_the_cause(
    server: FakeServer, ask: Ask, reply: Reply, cls: type[RocmError]
) -> None:
    server.script("/completion", reply)
    died = ServerDied("it died", returncode=-9)

    with pytest.raises(ServerDied) as caught:
        ask(at(server, diagnose=lambda error: died), "completion", "Hi")

    assert caught.value is died
    assert type(caught.value.__cause__) is cls


def test_diagnosis_that_finds_nothing_leaves_the_error(server: FakeServer, ask: Ask) -> None:
    server.script("/tokenize", Reply(before=[CUT]))
    asked: list[RocmError] = []

    def diagnose(error: RocmError) -> RocmError:
        asked.append(error)
        return error

    with pytest.raises(ServerUnreachable) as caught:
        ask(at(server, diagnose=diagnose), "tokenize", "Hi")

    assert asked == [caught.value]


def test_diagnosis_does_not_block_the_event_loop(server: FakeServer) -> None:
    server.script("/tokenize", Reply(before=[CUT]))
    threads: list[int] = []

    def diagnose(error: RocmError) -> RocmError:
        threads.append(threading.get_ident())
        return error

    with pytest.raises(ServerUnreachable):
        ask_async(at(server, diagnose=diagnose), "tokenize", "Hi")

    assert threads
    assert threads[0] != threading.get_ident()


# -- closing early --------------------------------------------------------------------------


@pytest.fixture
def endless(server: FakeServer) -> FakeServer:
    """A server whose completion never ends after its first event."""
    server.script("/completion", stream("completion_stream.b11434", STALL))
    return server


def hung_up(server: FakeServer) -> bool:
    return server.request().disconnected.wait(PATIENCE)


async def ahung_up(server: FakeServer) -> bool:
    return await asyncio.to_thread(hung_up, server)


def test_closing_the_iterator_closes_the_connection(endless: FakeServer) -> None:
    with Client(endless.url) as client:
        events = client.completion("Hi")
        next(events)
        assert not endless.request().disconnected.is_set()

        events.close()

        assert hung_up(endless)


def test_dropping_the_iterator_closes_the_connection(endless: FakeServer) -> None:
    with Client(endless.url) as client:
        events = client.completion("Hi")
        next(events)

        del events

        assert hung_up(endless)


def test_leaving_the_loop_by_an_exception_closes_the_connection(endless: FakeServer) -> None:
    def read(client: Client) -> None:
        for _ in client.completion("Hi"):
            raise KeyError("mine")

    with Client(endless.url) as client:
        with pytest.raises(KeyError, match="mine"):
            read(client)

        assert hung_up(endless)


def test_end_marker_closes_the_connection_though_the_server_goes_on(server: FakeServer) -> None:
    marker = b'data: {"content":"","stop":true}\n\n'
    server.script("/completion", stream(marker, STALL))

    with Client(server.url) as client:
        assert len(list(client.completion("Hi"))) == 1
        assert hung_up(server)


async def test_closing_the_async_iterator_closes_the_connection(endless: FakeServer) -> None:
    async with AsyncClient(endless.url) as client:
        events = client.completion("Hi")
        await anext(events)
        assert not endless.request().disconnected.is_set()

        await events.aclose()

        assert await ahung_up(endless)


async def test_dropping_the_async_iterator_closes_the_connection(endless: FakeServer) -> None:
    async with AsyncClient(endless.url) as client:
        events = client.completion("Hi")
        await anext(events)

        del events

        assert await ahung_up(endless)


async def test_canceling_the_task_closes_the_connection(endless: FakeServer) -> None:
    client = AsyncClient(endless.url)
    first = asyncio.Event()

    async def read() -> None:
        async for _ in client.completion("Hi"):
            first.set()

    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ahung_up(endless)


@pytest.mark.parametrize("method", ["completion", "tokenize"])
async def test_canceling_the_task_before_any_answer_closes_the_connection(
    server: FakeServer, method: str
) -> None:
    server.script(f"/{method}", Reply(before=[STALL]))
    client = AsyncClient(server.url)

    async def read() -> None:
        if method == "tokenize":
            await client.tokenize("Hi")
        else:
            await anext(client.completion("Hi"))

    task = asyncio.create_task(read())
    await asyncio.to_thread(server.request)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ahung_up(server)


def test_end_of_the_event_loop_closes_the_connection(endless: FakeServer) -> None:
    client = AsyncClient(endless.url)
    kept: list[Any] = []

    async def read() -> None:
        kept.append(client.completion("Hi"))
        await anext(kept[0])

    asyncio.run(read())

    assert hung_up(endless)


# -- threads and event loops ----------------------------------------------------------------

TOGETHER = 6


@pytest.fixture
def meeting(server: FakeServer) -> Iterator[FakeServer]:
    """A server that lets nobody go on before all are there."""
    all_here = threading.Event()
    server.script("/v1/chat/completions", stream("chat_stream.b11434", all_here))

    def watch() -> None:
        server.request(TOGETHER - 1)
        all_here.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield server
    watcher.join(PATIENCE)


def test_one_client_serves_many_threads_at_once(meeting: FakeServer) -> None:
    with Client(meeting.url) as client, ThreadPoolExecutor(TOGETHER) as pool:
        texts = pool.map(lambda _: text_of(list(client.chat(HI))), range(TOGETHER))

        assert list(texts) == [DEMO_TEXT] * TOGETHER


def test_one_async_client_serves_many_event_loops_at_once(meeting: FakeServer) -> None:
    client = AsyncClient(meeting.url)

    async def read() -> str:
        return text_of([event async for event in client.chat(HI)])

    with ThreadPoolExecutor(TOGETHER) as pool:
        texts = pool.map(lambda _: asyncio.run(read()), range(TOGETHER))

        assert list(texts) == [DEMO_TEXT] * TOGETHER


async def test_one_async_client_serves_many_tasks_at_once(meeting: FakeServer) -> None:
    async def read(client: AsyncClient) -> str:
        return text_of([event async for event in client.chat(HI)])

    async with AsyncClient(meeting.url) as client:
        texts = await asyncio.gather(*(read(client) for _ in range(TOGETHER)))

    assert texts == [DEMO_TEXT] * TOGETHER


def test_one_async_client_serves_one_event_loop_after_another(server: FakeServer) -> None:
    server.script("/v1/chat/completions", stream("chat_stream.b11434"))
    server.script("/health", answer("health.b11434"))
    client = AsyncClient(server.url)

    async def read() -> str:
        assert await client.health() == "ok"
        return text_of([event async for event in client.chat(HI)])

    assert [asyncio.run(read()) for _ in range(3)] == [DEMO_TEXT] * 3


def test_async_client_does_not_keep_event_loops_alive(server: FakeServer) -> None:
    server.script("/health", answer("health.b11434"))
    client = AsyncClient(server.url)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def read() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await client.health()

    asyncio.run(read())
    gc.collect()

    assert loops[0]() is None


# -- breaking off from another thread -------------------------------------------------------


class Reader(threading.Thread):
    """Reads in a thread of its own and keeps the error."""

    def __init__(self, target: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._read = target
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self.error = error


def reader_of(
    client: Client | AsyncClient, began: threading.Event, call: StreamCall | Call[Any]
) -> Reader:
    """A thread that waits for this answer; ``began`` is set with the first event."""

    def read() -> None:
        assert isinstance(client, Client)
        if isinstance(call, Call):
            client.call(call)
        else:
            for _ in client.stream(call):
                began.set()

    async def aread() -> None:
        assert isinstance(client, AsyncClient)
        if isinstance(call, Call):
            await client.call(call)
        else:
            async for _ in client.stream(call):
                began.set()

    reader = Reader(read if isinstance(client, Client) else lambda: asyncio.run(aread()))
    reader.start()
    return reader


KINDS = pytest.mark.parametrize("kind", [Client, AsyncClient])
COMPLETION = calls.completion("Hi", GenerateConfig())


@KINDS
def test_abort_breaks_off_a_reader_that_waits_for_the_next_event(
    endless: FakeServer, kind: type[Client] | type[AsyncClient]
) -> None:
    client = kind(endless.url, timeouts=NEVER)
    began = threading.Event()
    reader = reader_of(client, began, COMPLETION)
    assert began.wait(PATIENCE)

    client.abort_streams()

    reader.join(PATIENCE / 2)
    assert isinstance(reader.error, StreamInterrupted)
    assert hung_up(endless)


@KINDS
@pytest.mark.parametrize("call", [COMPLETION, calls.tokenize("Hi")], ids=["stream", "call"])
def test_abort_breaks_off_a_reader_that_waits_for_the_first_byte(
    server: FakeServer, kind: type[Client] | type[AsyncClient], call: StreamCall | Call[Any]
) -> None:
    server.script(call.path, Reply(before=[STALL]))
    client = kind(server.url, timeouts=NEVER)
    reader = reader_of(client, threading.Event(), call)
    server.request()

    client.abort_streams()

    reader.join(PATIENCE / 2)
    assert isinstance(reader.error, ServerUnreachable)
    assert hung_up(server)


@KINDS
def test_client_goes_on_after_an_abort(
    endless: FakeServer, kind: type[Client] | type[AsyncClient]
) -> None:
    endless.script("/health", answer("health.b11434"))
    client = kind(endless.url)
    client.abort_streams()
    began = threading.Event()
    reader = reader_of(client, began, COMPLETION)
    assert began.wait(PATIENCE)

    client.abort_streams()
    reader.join(PATIENCE / 2)

    assert client.health() == "ok" if isinstance(client, Client) else asyncio.run(alive(client))


async def alive(client: AsyncClient) -> bool:
    return await client.health() == "ok"


def test_closing_the_client_breaks_off_its_readers(endless: FakeServer) -> None:
    client = Client(endless.url, timeouts=NEVER)
    began = threading.Event()
    reader = reader_of(client, began, COMPLETION)
    assert began.wait(PATIENCE)

    client.close()

    reader.join(PATIENCE / 2)
    assert isinstance(reader.error, StreamInterrupted)


async def test_closing_the_async_client_breaks_off_its_readers(endless: FakeServer) -> None:
    client = AsyncClient(endless.url, timeouts=NEVER)
    events = client.completion("Hi")
    await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)  # let it begin to wait

    await client.aclose()

    with pytest.raises(StreamInterrupted):
        await waiting


def test_closed_client_is_unreachable(server: FakeServer) -> None:
    server.script("/health", answer("health.b11434"))
    client = Client(server.url)
    client.close()

    with pytest.raises(ServerUnreachable, match="closed"):
        client.health()
    with pytest.raises(ServerUnreachable, match="closed"):
        next(client.completion("Hi"))


def test_wire_is_cut_even_if_its_socket_knows_no_shutdown() -> None:
    """As uvloop's sockets do not."""

    class Sealed:
        def __init__(self, real: socket.socket) -> None:
            self.fileno = real.fileno

        def shutdown(self, how: int) -> None:
            raise TypeError("not available")

    class Stream:
        def __init__(self, real: socket.socket) -> None:
            self.sealed = Sealed(real)

        def get_extra_info(self, info: str) -> Any:
            return self.sealed if info == "socket" else None

    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.settimeout(PATIENCE)
        wire = Wire()
        wire.trace("connection.connect_tcp.complete", {"return_value": Stream(mine)})

        wire.cut()

        assert theirs.recv(1) == b""


def test_wire_that_is_cut_before_it_is_made_is_cut_when_it_is_made() -> None:
    class Stream:
        def __init__(self, real: socket.socket) -> None:
            self.real = real

        def get_extra_info(self, info: str) -> Any:
            return self.real if info == "socket" else None

    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.settimeout(PATIENCE)
        wire = Wire()
        wire.cut()

        wire.trace("connection.connect_tcp.complete", {"return_value": Stream(mine)})

        assert theirs.recv(1) == b""


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
