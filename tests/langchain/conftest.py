"""``ChatRocm`` on each real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_rocm import ChatRocm
from rocm_core import TextModel
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER


@pytest.fixture(scope="module")
def chat(engine: Engine, model: TextModel) -> Iterator[ChatRocm]:
    """The reciter, on the server of the suite."""
    chat = ChatRocm(model=RECITER, engine=engine)
    yield chat
    chat.close()


@pytest.fixture(scope="module")
def endless(engine: Engine, model: TextModel) -> Iterator[ChatRocm]:
    """On the same server; its answers go on for thousands of tokens."""
    endless = ChatRocm(model=RECITER, engine=engine, ignore_eos=True, max_tokens=8000)
    endless.text_model.load()
    yield endless
    endless.close()
