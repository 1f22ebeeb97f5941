"""The time limits of a request."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from rocm_core.client import Deadline, calls
from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.errors import AuthenticationError, GenerationError, RequestTimeout
from tests.support.servers.asking import NEVER, Ask, ask_async, ask_sync, at
from tests.support.servers.fake_server import PATIENCE, STALL, FakeServer, Reply, Step, stream
from tests.support.servers.hostile import drip
from tests.support.servers.refusing import nobody_accepts

PINGS: list[Step] = [b":\n\n", 0.02] * 1000


def limited(**limits: float) -> Timeouts:
    """No limit but these."""
    return dataclasses.replace(NEVER, **limits)


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
    server.script("/completion", stream("completion_stream.b11434", 2.0))

    events = ask(at(server, timeouts=limited(first_token=1.5)), "completion", "Hi")

    assert events[-1].finish_reason == "length"


def test_pings_reset_the_idle_limit(server: FakeServer, ask: Ask) -> None:
    server.script("/completion", stream("completion_stream.b11434", *PINGS[:240]))
    start = time.monotonic()

    events = ask(at(server, timeouts=limited(idle=1.5)), "completion", "Hi")

    assert time.monotonic() - start > 1.5
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

    error = timed_out(ask, at(server, timeouts=limited(total=0.1, **others)), "completion", "Hi")

    assert error.phase == "total"
    assert "0.1 s" in str(error)


def test_total_limit_of_an_answer_that_is_no_stream(server: FakeServer, ask: Ask) -> None:
    server.script("/tokenize", Reply(before=[STALL]))

    error = timed_out(ask, at(server, timeouts=limited(total=0.1)), "tokenize", "Hi")

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


# -- a peer that sends a little from time to time -----------------------------------------------

# How often it does: for a minute, so that a machine under load cannot make a limit that holds look
# like one that does not.
_TIMES, _PAUSE, _LOAD = 3000, 0.02, 10.0
DRIP: list[Step] = [b" ", _PAUSE] * _TIMES
_LENGTH = {"Content-Length": "100000"}


@contextlib.contextmanager
def in_time(limit: float) -> Iterator[None]:
    """The block ends by a limit: long before the peer would."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < limit + _LOAD < _TIMES * _PAUSE / 5


@pytest.mark.parametrize(
    ("limits", "phase"), [({"first_token": 0.3}, "first_token"), ({"total": 0.3}, "total")]
)
def test_a_whole_answer_has_one_limit(
    server: FakeServer, ask: Ask, limits: dict[str, float], phase: str
) -> None:
    server.script("/tokenize", Reply(DRIP, headers=_LENGTH))

    with in_time(0.3):
        error = timed_out(ask, at(server, timeouts=limited(**limits)), "tokenize", "Hi")

    assert error.phase == phase
    assert "0.3 s" in str(error)


@pytest.mark.parametrize("method", ["tokenize", "completion"])
def test_the_head_of_an_answer_has_one_limit(ask: Ask, method: str) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        over = threading.Event()

        def drip() -> None:
            with listener.accept()[0] as connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.02):
                    connection.sendall(b"X-Filler: 1\r\n")

        thread = threading.Thread(target=drip)
        thread.start()
        stack.callback(thread.join)
        stack.callback(over.set)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with in_time(0.3):
            settings = {"base_url": url, "timeouts": limited(first_token=0.3)}
            error = timed_out(ask, settings, method, "Hi")

    assert error.phase == "first_token"


def test_a_whole_answer_has_one_limit_on_any_transport(server: FakeServer) -> None:
    server.script("/tokenize", Reply(DRIP, headers=_LENGTH))
    settings = at(server, timeouts=limited(first_token=0.3))

    with in_time(0.3):
        timed_out(ask_sync, settings | {"transport": httpx.HTTPTransport()}, "tokenize", "Hi")
    with in_time(0.3):
        timed_out(ask_async, settings | {"transport": httpx.AsyncHTTPTransport()}, "tokenize", "Hi")


TRANSPORTS: list[tuple[Ask, Any]] = [
    (ask_sync, httpx.HTTPTransport),
    (ask_async, httpx.AsyncHTTPTransport),
]
_HEAD = b"HTTP/1.1 200 OK\r\n"
FILLERS: list[Step] = [b"X-Filler: 1\r\n", _PAUSE] * _TIMES
CHUNKS: list[Step] = [b"1\r\n \r\n", _PAUSE] * _TIMES
# What comes byte by byte, or not at all, before and after its limits have begun.
UNHURRIED: dict[str, list[Step]] = {
    "a head": [_HEAD, *FILLERS],
    "a head, byte by byte": drip(_HEAD * 200),
    "silence after half a head": [_HEAD, STALL],
    "a body": [_HEAD + b"\r\n", *DRIP],
    "a body, and silence": [_HEAD + b"\r\n", b" ", 0.2, b" ", STALL],
    "chunks": [_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *CHUNKS],
    "interim answers": [b"HTTP/1.1 100 Continue\r\n\r\n", _PAUSE] * _TIMES,
}


@pytest.mark.parametrize("limits", [{"total": 0.3}, {"total": 0.3, "idle": 15, "first_token": 15}])
@pytest.mark.parametrize("method", ["props", "embeddings", "completion"])
@pytest.mark.parametrize("reply", UNHURRIED)
@pytest.mark.parametrize("way", TRANSPORTS, ids=["sync", "async"])
def test_any_transport_holds_the_limit_of_a_call(
    server: FakeServer, way: tuple[Ask, Any], reply: str, method: str, limits: dict[str, float]
) -> None:
    ask, transport = way
    server.otherwise = Reply(before=UNHURRIED[reply])
    server.script("/props", server.otherwise)
    settings = at(server, timeouts=limited(**limits), transport=transport())
    args = {"props": (), "embeddings": (["a"],), "completion": ("Hi",)}[method]
    with in_time(0.3):
        error = timed_out(ask, settings, method, *args)
    assert error.phase == "total"


@pytest.mark.parametrize("way", TRANSPORTS, ids=["sync", "async"])
def test_any_transport_holds_the_limit_of_the_first_token(
    server: FakeServer, way: tuple[Ask, Any]
) -> None:
    ask, transport = way
    server.script("/completion", Reply(before=UNHURRIED["a head"]))
    settings = at(server, timeouts=limited(first_token=0.3), transport=transport())
    with in_time(0.3):
        error = timed_out(ask, settings, "completion", "Hi")
    assert error.phase == "first_token"
    assert "0.3 s (first_token_timeout=" in str(error)


@pytest.mark.parametrize("own", [True, False], ids=["own", "httpx's"])
@pytest.mark.parametrize(("method", "argument"), [("tokenize", "Hi"), ("completion", "Hi")])
def test_the_words_of_an_error_are_not_waited_for(
    server: FakeServer, ask: Ask, method: str, argument: str, own: bool
) -> None:
    """Its status says what to do; half of its words, and a limit that has passed, are less."""
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 90000\r\n\r\nwho are"
    server.script(f"/{method}", Reply(before=[head, *DRIP]))
    settings = at(server, timeouts=limited(total=1.5))  # the status itself comes within it
    if not own:
        settings["transport"] = dict(TRANSPORTS)[ask]()
    with in_time(1.5), pytest.raises(AuthenticationError, match="who are"):
        ask(settings, method, argument)


def test_the_words_of_an_error_are_bounded_without_any_limit(
    server: FakeServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rocm_core.client.base._REFUSAL_TIME", 0.3)
    head = b"HTTP/1.1 500 Oh\r\nContent-Length: 90000\r\n\r\nwhat"
    server.script("/completion", Reply(before=[head, *DRIP]))
    with in_time(0.3), pytest.raises(GenerationError, match="what"):
        ask(at(server, timeouts=NEVER), "completion", "Hi")
    flood = [head.replace(b"90000", b"9000000"), *[b"x" * 10_000] * 900]
    server.script("/completion", Reply(before=flood))
    with pytest.raises(GenerationError, match="what"):
        ask(at(server, timeouts=NEVER), "completion", "Hi")


def test_without_a_thread_for_it_each_read_is_limited(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(timer: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    server.script("/tokenize", Reply(before=[STALL]))
    settings = at(server, timeouts=limited(total=0.2), transport=httpx.HTTPTransport())
    assert timed_out(ask_sync, settings, "tokenize", "Hi").phase == "total"


def test_the_total_limit_is_not_begun_anew_by_a_token(server: FakeServer, ask: Ask) -> None:
    """The silence after it is limited by what is left, not by what was left when it came."""
    server.script("/completion", stream("completion_stream.b11434", *PINGS[:160], STALL))
    start = time.monotonic()

    error = timed_out(ask, at(server, timeouts=limited(total=2.0, idle=15.0)), "completion", "Hi")

    assert error.phase == "total"
    assert time.monotonic() - start < 2.0 + 1.6, "the pings alone take 1.6 s"


def test_connecting_has_one_limit_for_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody_accepts() as url:
        port = int(url.rpartition(":")[2])
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found * 5)
        settings = {"base_url": f"http://many:{port}", "timeouts": limited(connect=0.3)}

        with in_time(0.3):
            error = timed_out(ask_sync, settings, "health")

    assert error.phase == "connect"


# -- one call of several requests ---------------------------------------------------------------


def test_a_deadline_counts_from_where_it_was_made(server: FakeServer, ask: Ask) -> None:
    server.script("/tokenize", Reply(before=[STALL]))
    now = time.monotonic
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rocm_core.client.deadline.time.monotonic", lambda: now() - 59.8)
        deadline = Deadline(limited(total=60.0))

    with in_time(0.2):
        error = timed_out(ask, at(server), "call", calls.tokenize("Hi"), deadline)

    assert error.phase == "total"
    assert "60.0 s (timeout=" in str(error)


def test_a_part_of_a_call_has_the_smaller_limits() -> None:
    call = Deadline(Timeouts(connect=None, first_token=9.0, idle=1.0, total=5.0))
    part = call.within(Timeouts(connect=2.0, first_token=3.0, idle=4.0, total=60.0))
    assert part.limits == Timeouts(connect=2.0, first_token=3.0, idle=1.0, total=5.0)
    assert part.end == call.end
    shorter = call.within(Timeouts(total=1.0))
    assert shorter.limits.total == 1.0
    assert shorter.end is not None and call.end is not None and shorter.end < call.end


def test_a_request_brings_its_own_total_limit() -> None:
    deadline = Deadline(Timeouts(total=5.0))
    begun_with = deadline.end
    deadline.obey(GenerateConfig())
    assert deadline.end == begun_with
    deadline.obey(GenerateConfig(timeout=7.0))
    assert begun_with is not None and deadline.end == pytest.approx(begun_with + 2.0)
    assert deadline.limits.total == 7.0
