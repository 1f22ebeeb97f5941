"""The time limits of a request."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Mapping
from typing import Any

import pytest

from rocm_core.client import calls
from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.errors import RequestTimeout
from tests.support.servers.asking import NEVER, Ask, at
from tests.support.servers.fake_server import PATIENCE, STALL, FakeServer, Reply, Step, stream
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
