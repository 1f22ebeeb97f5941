"""``RocmLLM`` on each real engine."""

from __future__ import annotations

from collections.abc import Iterator
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
