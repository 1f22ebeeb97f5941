"""Which errors pass by themselves, and when a request is sent again after them."""

from __future__ import annotations

import pytest

from rocm_core import Completion, GenerateConfig, load_model
from rocm_core.client.failures import error_from_body
from rocm_core.errors import ConfigError, ServerBusy
from rocm_core.model.generation import Retries
from tests.support.servers.fake_server import FakeServer, Reply, stream


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_cannot_reach_the_server_is_asked_again(status: int) -> None:
    error = error_from_body("Bad Gateway", status)
    assert Retries(1).pause_after(error) == 0.5
    assert Retries(1).pause_after(error_from_body("no", 500)) is None


def test_a_proxy_whose_server_died_is_asked_again() -> None:
    assert Retries(1).pause_after(error_from_body("Internal Server Error", 500)) == 0.5
    of_llama_server = {"error": {"code": 500, "message": "input is too large", "type": "x"}}
    assert Retries(1).pause_after(error_from_body(of_llama_server, 500)) is None


@pytest.mark.parametrize(
    ("asked", "pause"), [(None, 0.5), (0.0, 0.5), (3.0, 3.0), (60.0, 60.0), (61.0, None)]
)
def test_a_server_says_when_to_ask_again(asked: float | None, pause: float | None) -> None:
    error = ServerBusy("full")
    error.retry_after = asked
    assert Retries(1).pause_after(error) == pause
    assert Retries(0).pause_after(error) is None


def test_the_header_says_when_to_ask_again(
    scripted: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("rocm_core.client.steps.time.sleep", pauses.append)
    busy = Reply([b"no"], 503, headers={"Retry-After": "7"})
    scripted.script("/completion", busy, stream("completion_stream.b11434"))
    with load_model(scripted.url) as model:
        assert list(model.events(Completion("x", GenerateConfig()), max_retries=1))
    assert pauses == [7.0]


@pytest.mark.parametrize("name", ["n", "n_cmpl"])
def test_tokens_of_several_answers_are_not_mixed(scripted: FakeServer, name: str) -> None:
    with load_model(scripted.url) as model, pytest.raises(ConfigError, match=f"{name}=2.*events"):
        list(model.chat([{"role": "user", "content": "Hi"}], GenerateConfig(extra={name: 2})))
