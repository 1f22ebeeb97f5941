"""``RocmLLM`` on each real engine, and on a server that says what a test scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llama_index_rocm import RocmLLM
from rocm_core import TextModel
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import chat, say, script


@pytest.fixture(scope="session")
def llm(engine: Engine, model: TextModel) -> Iterator[RocmLLM]:
    """The reciter, on the server of the suite."""
    llm = RocmLLM(model=RECITER, engine=engine)
    llm.text_model.load()
    yield llm
    llm.close()


@pytest.fixture
def endless(engine: Engine, model: TextModel) -> Iterator[RocmLLM]:
    """On the same server; answers go on for about half a second. To be left in any state."""
    llm = RocmLLM(model=RECITER, engine=engine, ignore_eos=True, max_tokens=8000)
    llm.text_model.load()
    yield llm
    llm.close()


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    """A server that says hi, until the test scripts something else."""
    script(scripted, chat(say("Hi")))
    return scripted


@pytest.fixture
def scripted_llm(server: FakeServer) -> RocmLLM:
    """It talks to ``server``."""
    return RocmLLM(model=server.url)
