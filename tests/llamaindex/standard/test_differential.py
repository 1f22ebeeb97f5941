"""``RocmLLM`` and ``OpenAILike`` agree on text, thoughts, tool calls and usage.

``openai_like.json`` is what ``OpenAILike`` 0.8.1 made of the scripted answers. Where the package
is installed, the record is checked against it, and both classes talk to the same real engine.
"""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest
from pydantic import SecretStr

from llama_index_rocm import RocmLLM
from rocm_core import load_model
from tests.support.adapters.differential import (
    ANSWERS,
    QUESTION,
    RECORD_FILE,
    every_answer,
    openai_like,
    summary,
)
from tests.support.models.reciter import RECITER

RECORD = json.loads(RECORD_FILE.read_text(encoding="utf-8"))
installed = pytest.mark.skipif(
    importlib.util.find_spec("llama_index.llms") is None
    or importlib.util.find_spec("llama_index.llms.openai_like") is None,
    reason="needs llama-index-llms-openai-like, whose openai is older than langchain-openai's",
)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def ours() -> Any:
    return plain(every_answer(lambda url: RocmLLM(model=url)))


@pytest.mark.parametrize("name", ANSWERS)
def test_both_make_the_same_of_an_answer(ours: Any, name: str) -> None:
    assert ours[name] == RECORD[name]


@installed
def test_the_record_is_still_true() -> None:
    assert plain(every_answer(openai_like)) == RECORD


@installed
def test_both_get_the_same_from_an_engine(engine: Any) -> None:
    with load_model(RECITER, engine=engine, port=0, context_len=2048) as model:
        model.load()
        client = model.connection.client
        key = client._headers["authorization"].removeprefix("Bearer ")
        rocm = RocmLLM(model=client.base_url, api_key=SecretStr(key), temperature=0, max_tokens=40)
        other = openai_like(client.base_url, temperature=0, max_tokens=40)
        other.api_key = key
        for streams in (False, True):
            seen = [
                summary(llm, list(llm.stream_chat(QUESTION)) if streams else [llm.chat(QUESTION)])
                for llm in (rocm, other)
            ]
            assert seen[0] == seen[1]
            assert seen[0]["text"] and seen[0]["usage"]
