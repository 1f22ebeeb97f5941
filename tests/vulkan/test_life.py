"""A server on a real GPU back end: killed, shared, kept alive; embeddings and reranking."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from rocm_core import Server, TextModel, load_model, resolve_ref
from rocm_core.backend import server_config
from rocm_core.shared.admin import list_servers
from rocm_core.shared.registry import Registry
from tests.support.programs import wait_for
from tests.vulkan.loads import LLVMPIPE, answer_of, config_of, use_of


def test_a_killed_server_is_started_again_on_the_device(wheel: Path) -> None:
    with load_model("demo", server_path=wheel, devices=LLVMPIPE, require_gpu=True) as model:
        before = "".join(token.text for token in model.generate("Hello", max_tokens=8))
        server = model.connection.server  # type: ignore[attr-defined]
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: server.pid != first)
        after = "".join(token.text for token in model.generate("Hello", max_tokens=8))
        assert server.pid not in (None, first)
        assert use_of(server).buffers["Vulkan0"].weights > 0
    assert after == before


def test_a_kept_server_is_shared_and_outlives_its_client(wheel: Path, registry: Registry) -> None:
    ref = resolve_ref("demo")
    config = server_config(ref, config_of(server_path=wheel, keep_alive="5m"))
    servers = [Server(ref, config) for _ in range(2)]
    answers = []
    for server in servers:
        server.start()
        answers.append(answer_of(server))
    assert servers[0].pid == servers[1].pid
    assert answers[0] == answers[1]
    for server in servers:
        server.stop()
    (kept,) = list_servers(registry)
    again = Server(ref, config)
    again.start()
    assert again.pid == kept.facts["pid"]
    again.stop()


def vectors(model: TextModel) -> np.ndarray:
    return np.array(model.embed(["a red fox", "ein roter Fuchs", "tax law"]))


def test_embeddings_are_the_same_as_on_the_cpu(wheel: Path, minilm: Path) -> None:
    options = {"server_path": wheel, "embeddings": True}
    with load_model(minilm, devices=LLVMPIPE, require_gpu=True, **options) as model:  # type: ignore[arg-type]
        there = vectors(model)
    with load_model(minilm, backend="cpu", **options) as model:  # type: ignore[arg-type]
        here = vectors(model)
    assert there.shape == (3, 384)
    assert np.abs(there - here).max() < 0.02


def test_reranking_on_the_device(wheel: Path, ranker: Path) -> None:
    documents = ["a red fox", "tax law", "a green tree"]
    scores = []
    for where in ({"devices": LLVMPIPE, "require_gpu": True}, {"backend": "cpu"}):
        with load_model(ranker, server_path=wheel, rerank=True, **where) as model:
            ranked = model.rerank("fox", documents)
            scores.append(dict(ranked))
    there, here = scores
    assert there.keys() == here.keys() == {0, 1, 2}
    for index, score in there.items():
        assert score == pytest.approx(here[index], rel=0.02)  # half precision
