"""What the server refuses, and connections that break."""

from __future__ import annotations

import gc
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from rocm_core.client import Client
from rocm_core.errors import (
    AuthenticationError,
    ContextOverflow,
    EndpointNotFound,
    GenerationError,
    NotSupported,
    ProtocolError,
    RocmError,
    ServerBusy,
    ServerDied,
    ServerLoading,
    ServerUnreachable,
    StreamInterrupted,
)
from rocm_core.types import StreamEvent
from tests.support.servers.asking import HI, Ask, ask_async, at, text_of
from tests.support.servers.fake_server import (
    CUT,
    RESET,
    FakeServer,
    Fault,
    Reply,
    answer,
    capture,
    stream,
)

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
