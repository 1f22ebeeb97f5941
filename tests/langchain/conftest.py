"""The chat model on each real engine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from langchain_rocm import ChatRocm
from rocm_core.config import Engine

CHAT_MODEL = os.environ.get("LLAMA_ROCM_CHAT_MODEL", "demo")
"""The model of the tests that need one with some understanding: any GGUF file."""


@pytest.fixture(scope="session")
def chat_model_path() -> str:
    """The reference of that model."""
    return CHAT_MODEL


@pytest.fixture(scope="module")
def chat(engine: Engine) -> Iterator[ChatRocm]:
    """The demo model; its server lives as long as the test module."""
    chat = ChatRocm(model="demo", engine=engine)
    yield chat
    chat.close()


@pytest.fixture(scope="module")
def endless(chat: ChatRocm, engine: Engine) -> Iterator[ChatRocm]:
    """On the same server; its answers go on for thousands of tokens."""
    endless = ChatRocm(model="demo", engine=engine, ignore_eos=True, max_tokens=8000)
    yield endless
    endless.close()
