"""``timeout`` is the limit of a whole call: its waits, its retries, and every request it sends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from langchain_rocm import ChatRocm, RocmEmbeddings
from llama_index_rocm import RocmLLM, RocmTokenizer
from rocm_core import Completion, GenerateConfig, Timeouts, load_model
from rocm_core.config import Engine
from rocm_core.errors import RequestTimeout, ServerBusy, ServerLoading
from rocm_core.model.text_model import TextModel
from tests.support.engines import wrapped
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.programs import wait_for
from tests.support.scripted_model import scripted_model
from tests.support.servers.fake_server import PATIENCE, STALL, FakeServer, Reply, Request, answer

HELLO = [{"role": "user", "content": "Hello"}]
LIMIT = 0.4

Load = Callable[[TextModel], Any]
BOTH: list[Load] = [lambda model: model.load(), lambda model: asyncio.run(model.aload())]
both = pytest.mark.parametrize("load", BOTH, ids=["blocking", "asyncio"])


@contextmanager
def times_out(limit: float = LIMIT, phase: str = "total") -> Iterator[None]:
    """The block raises a timeout of this phase, in time."""
    start = time.monotonic()
    with pytest.raises(RequestTimeout) as caught:
        yield
    assert limit <= time.monotonic() - start < limit + 0.5
    assert caught.value.phase == phase


# -- the server gets ready ----------------------------------------------------------------------


@pytest.fixture
def gated(engine: Engine, tmp_path: Path) -> tuple[Path, Path]:
    """A real engine that begins to load once the second path exists."""
    gate = tmp_path / "gate"
    # One that is asked what it can do has no model.
    wait = f'case "$*" in *" "*) while [ ! -e {gate} ]; do sleep 0.02; done;; esac'
    return wrapped(engine, tmp_path, wait), gate


@both
def test_a_start_goes_on_for_others(load: Load, gated: tuple[Path, Path]) -> None:
    program, gate = gated
    with (
        load_model(RECITER, server_path=program) as patient,
        load_model(RECITER, server_path=program, timeout=LIMIT) as hasty,
        ThreadPoolExecutor(1) as pool,
    ):
        loading = pool.submit(patient.load)
        wait_for(lambda: patient.connection.server.pid is not None)  # type: ignore[attr-defined]
        pid = patient.connection.server.pid  # type: ignore[attr-defined]
        with times_out():
            load(hasty)
        gate.touch()
        assert loading.result(PATIENCE).total_slots
        assert load(hasty).total_slots
        assert hasty.connection.server.pid == pid  # type: ignore[attr-defined]


@both
def test_a_start_that_nobody_waits_for_any_more_is_cancelled(
    load: Load, gated: tuple[Path, Path]
) -> None:
    program, gate = gated
    with load_model(RECITER, server_path=program, timeout=LIMIT) as model:
        with times_out():
            load(model)
        wait_for(lambda: model.connection.server.pid is None)  # type: ignore[attr-defined]
        gate.touch()
        limits = Timeouts(first_token=None)
        assert model.load(deadline=model.deadline(limits=limits)).total_slots


@both
def test_a_remote_server_that_loads_is_waited_for_so_long(load: Load) -> None:
    with FakeServer() as server, load_model(server.url, timeout=LIMIT) as model:
        server.script("/props", answer("error_503_loading.b11434", 503))
        with times_out():
            load(model)
    with FakeServer() as server, load_model(server.url, stall_timeout=LIMIT) as model:
        server.script("/props", answer("error_503_loading.b11434", 503))
        with pytest.raises(ServerLoading):
            load(model)


# -- retries ------------------------------------------------------------------------------------


def test_nothing_is_sent_again_that_could_not_begin_in_time() -> None:
    """The reason is told at once: to wait for the limit would only hide it."""
    start = time.monotonic()
    model = scripted_model([[ServerBusy("full")]] * 9)
    request = Completion("x", GenerateConfig(timeout=1.0))
    with pytest.raises(ServerBusy):
        list(model.events(request, max_retries=9))
    assert len(model.connection.requests) == 2  # type: ignore[attr-defined]
    assert time.monotonic() - start < 1.0


def test_a_call_has_its_own_limit_from_its_beginning(scripted: FakeServer) -> None:
    scripted.script("/props", Reply(before=[STALL]))
    with load_model(scripted.url) as model, times_out():
        list(model.generate("x", timeout=LIMIT))
    with load_model(scripted.url) as model, times_out():
        list(model.chat(HELLO, timeout=LIMIT))


# -- several requests ---------------------------------------------------------------------------


def slow(body: bytes) -> Reply:
    return Reply([body], before=[0.15])


def test_the_probe_the_template_and_the_tokens_are_one_call(scripted: FakeServer) -> None:
    scripted.script("/props", Reply(answer("props.b11434").steps, before=[0.15]))
    scripted.script("/v1/models", Reply(answer("v1_models.b11434").steps, before=[0.15]))
    scripted.script("/apply-template", slow(b'{"prompt": "probe-1probe-2probe-3probe-4"}'))
    with load_model(scripted.url, timeout=LIMIT) as model, times_out():
        model.count_tokens([*HELLO, *HELLO], fit_template=True)
    assert len(scripted.requests) in (2, 3)  # as many as a machine sends in that time


def test_texts_in_several_requests_are_one_call(scripted: FakeServer) -> None:
    def vectors(request: Request) -> Reply:
        vector = b'{"index": 0, "embedding": [1.0]}'
        return slow(b'{"data": [%b]}' % b",".join([vector] * len(request.body["input"])))

    scripted.script("/v1/embeddings", vectors)
    made = RocmEmbeddings(base_url=scripted.url, timeout=LIMIT, texts_per_request=1)
    with times_out():
        made.embed_documents(["a"] * 20)
    with times_out():
        asyncio.run(made.aembed_documents(["a"] * 20))


def test_a_followup_request_is_part_of_the_call(scripted: FakeServer) -> None:
    """With tools and a response format, an answer that does not fit is asked for again."""
    said = b'data: {"choices": [{"index": 0, "delta": {"content": "no JSON"}}]}\n\n'
    ending = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    body = said + ending + b"data: [DONE]\n\n"
    first = Reply([body], content_type="text/event-stream", chunked=True, before=[LIMIT])
    scripted.script("/v1/chat/completions", first, Reply(before=[STALL]))
    # Room for the first answer, and for what is imported to check it.
    limit = 4 * LIMIT
    chat = ChatRocm(base_url=scripted.url, timeout=limit)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    bound = chat.bind_tools([tool]).bind(response_format=wanted)
    with times_out(limit):
        bound.invoke("Hi")
    assert len([r for r in scripted.requests if r.path == "/v1/chat/completions"]) == 2


def test_threads_that_share_a_tokenizer_wait_no_longer_than_one(scripted: FakeServer) -> None:
    scripted.script("/tokenize", Reply(before=[STALL]))
    tokenizer = RocmTokenizer(RocmLLM(base_url=scripted.url, timeout=LIMIT))
    start, ended = time.monotonic(), list[float]()

    def ask() -> None:
        with pytest.raises(RequestTimeout):
            tokenizer("Hi")
        ended.append(time.monotonic() - start)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 6
    assert max(ended) < LIMIT + 0.5


# -- and nothing of it without a limit -----------------------------------------------------------


def test_a_deadline_that_has_not_passed_changes_nothing(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, context_len=768, timeout=PATIENCE) as model:
        deadline = model.deadline()
        assert model.load(deadline=deadline).n_ctx == 768
        request = Completion("x", GenerateConfig(max_tokens=16))
        assert "".join(event.text for event in model.events(request, deadline=deadline))
        assert model.tokenize("Hi", deadline=deadline)
        assert "".join(token.text for token in model.chat(HELLO)) == ANSWER
