"""A server of our own that was stopped (SIGSTOP) keeps nobody for ever, and serves again after.

With ``timeout`` every verb ends then; without any limit after ``stall_timeout`` without a sign of
life.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelTimeoutError

import langchain_rocm
import llama_index_rocm
from rocm_core import LlamaService, TextModel, Timeouts, load_model
from rocm_core.backend.local import LocalConnection
from rocm_core.config import Engine
from rocm_core.errors import RequestTimeout, ServerStalled
from tests.support.engines import LONG
from tests.support.leftovers import assert_freed
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.programs import wait_for
from tests.support.verbs import HI, ROWS, VERBS, outcomes, perform, show

LIMIT, SLACK, STALL = 0.5, 0.5, 1.0
# Options of their own, so that no other test has these servers.
OWN: dict[str, Any] = {"context_len": 1024, "max_in_flight": 100}
# What is known without asking the server again.
_KNOWN = {
    *("aget_server_defaults", "aload", "get_server_defaults", "info", "is_running", "load"),
    *("profile", "start"),
}


def pid_of(model: TextModel) -> int:
    connection = model.connection
    assert isinstance(connection, LocalConnection)
    pid = connection.server.pid
    assert pid is not None
    return pid


def stop(pid: int) -> None:
    """Stop a process, and return once each of its threads stands still."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    wait_for(lambda: all(" T " in (task / "stat").read_text() for task in tasks.iterdir()))


@contextmanager
def stopped(*models: TextModel) -> Iterator[None]:
    """The servers of these models stand still while the block runs."""
    pids = {pid_of(model) for model in models}
    for pid in pids:
        stop(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def subjects(engine: Engine) -> Iterator[dict[type, Any]]:
    """An object of each class, on three servers: for text, for vectors, for ranks."""
    own = {"engine": engine, "timeout": LIMIT, **OWN}
    options: dict[str, Any] = {"model": RECITER, **own}
    with load_model(RECITER, **own) as model, LlamaService() as service:
        llm = llama_index_rocm.RocmLLM(**options)
        adapters = [
            langchain_rocm.ChatRocm(**options),
            langchain_rocm.RocmLLM(**options),
            langchain_rocm.RocmEmbeddings(**options, pooling="mean"),
            langchain_rocm.RocmRerank(**options),
            llama_index_rocm.RocmEmbedding(**options, pooling="mean"),
            llama_index_rocm.RocmRerank(**options),
            llm,
        ]
        for each in (model, *(adapter.text_model for adapter in adapters)):
            each.load(deadline=each.deadline(limits=Timeouts()))
        service.start(options)
        yield {
            TextModel: model,
            LlamaService: service,
            llama_index_rocm.RocmTokenizer: llama_index_rocm.RocmTokenizer(llm),
            **{type(adapter): adapter for adapter in adapters},
        }
        for adapter in adapters:
            adapter.close()


def test_every_verb_ends_in_time_and_works_again(engine: Engine, subjects: dict[type, Any]) -> None:
    rows = [row for row in ROWS if row[0] in subjects]
    models = [getattr(subject, "text_model", None) for subject in subjects.values()]
    with stopped(subjects[TextModel], *(model for model in models if model is not None)):
        found = outcomes(subjects.__getitem__, rows)
    show(f"A stopped server of our own ({engine}), timeout={LIMIT}", found)

    for (cls, name), (seconds, error, result) in zip(rows, found.values(), strict=True):
        assert seconds < LIMIT + SLACK, (cls, name)
        if name == "preflight":
            assert [check.name for check in result if check.status == "failed"] == ["reachable"]
        elif "image" in name:  # refused by what is known: the model has no projector
            assert "cannot see images" in str(error), (cls, name)
        elif name not in _KNOWN:
            assert isinstance(error, RequestTimeout), (cls, name)
            assert f"{LIMIT} s (timeout=" in str(error)
            is_langchains = cls.__module__.startswith("langchain_rocm")
            assert isinstance(error, ModelTimeoutError) is is_langchains

    chat, model = subjects[langchain_rocm.ChatRocm], subjects[TextModel]
    assert_freed(model, within=5.0)
    assert "".join(token.text for token in model.chat(HI, timeout=30.0)) == ANSWER
    assert chat.invoke("Hi", timeout=30.0).text == ANSWER
    for cls, name in [
        (langchain_rocm.RocmEmbeddings, "embed_query"),
        (langchain_rocm.RocmRerank, "rank"),
        (llama_index_rocm.RocmTokenizer, "__call__"),
    ]:
        assert perform(VERBS[cls][name], subjects[cls])


def test_without_any_limit_a_stopped_server_is_noticed(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, stall_timeout=STALL, **OWN) as model:
        model.load()
        pid = pid_of(model)
        verbs = ["tokenize", "generate", "agenerate", "acount_tokens", "aembed", "metrics"]
        with stopped(model):
            found = outcomes(lambda _: model, [(TextModel, name) for name in verbs])
        for seconds, error, _ in found.values():
            assert STALL <= seconds < STALL + SLACK
            assert isinstance(error, ServerStalled)
            assert "SIGSTOP" in str(error) and f"pid {pid}" in str(error)
        assert model.tokenize("Hi")
        assert "".join(token.text for token in model.chat(HI)) == ANSWER
        assert pid_of(model) == pid


def test_a_stopped_server_that_is_then_killed_is_replaced(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, stall_timeout=STALL, **OWN) as model:
        model.load()
        pid = pid_of(model)
        stop(pid)
        with pytest.raises(ServerStalled):
            model.tokenize("Hi")
        os.kill(pid, signal.SIGKILL)
        assert "".join(token.text for token in model.chat(HI)) == ANSWER
        assert pid_of(model) != pid


def test_a_server_that_works_in_silence_is_not_taken_for_stopped(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, stall_timeout=0.1, **OWN) as model:
        model.load()
        stream = model.completion_events("x", LONG)
        next(stream)
        time.sleep(1.0)  # nobody reads: its buffers fill, and it stands still without being stopped
        assert model.connection.client.in_flight == 1
        assert next(stream).text
        stream.close()
