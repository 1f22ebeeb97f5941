"""``RocmLLM`` on the real engines."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ContextOverflowError
from langchain_core.outputs import Generation

from langchain_rocm import RocmLLM, errors
from rocm_core.config import Engine
from tests.support.leftovers import assert_afreed, assert_freed, auntil_busy, busy
from tests.support.models.reciter import ANSWER, PIECES, RECITER


@pytest.fixture(scope="module")
def llm(engine: Engine) -> Iterator[RocmLLM]:
    llm = RocmLLM(model=RECITER, engine=engine)
    yield llm
    llm.close()


@pytest.fixture(scope="module")
def endless(llm: RocmLLM, engine: Engine) -> Iterator[RocmLLM]:
    """The same server; answers of thousands of tokens."""
    endless = RocmLLM(model=RECITER, engine=engine, ignore_eos=True, max_tokens=8000)
    yield endless
    endless.close()


def assert_full_answer(generation: Generation) -> None:
    assert generation.text == ANSWER
    info = generation.generation_info
    assert info is not None
    assert info["finish_reason"] == "stop"
    assert info["model_name"] == "reciter"
    assert info["model_provider"] == "rocm"
    assert info["usage"]["output_tokens"] == len(PIECES) + 1  # and the end token
    assert info["timings"]["predicted_ms"] > 0


def test_invoke_and_stream(llm: RocmLLM) -> None:
    assert llm.invoke("Hi") == ANSWER
    assert list(llm.stream("Hi")) == [*PIECES, ""]


async def test_ainvoke_and_astream(llm: RocmLLM) -> None:
    assert await llm.ainvoke("Hi") == ANSWER
    assert [text async for text in llm.astream("Hi")] == [*PIECES, ""]


async def test_several_prompts(llm: RocmLLM) -> None:
    prompts = [f"Number {i}" for i in range(6)]
    inputs: Any = prompts
    for result in (llm.generate(prompts), await llm.agenerate(prompts)):
        assert len(result.generations) == 6
        for [generation] in result.generations:
            assert_full_answer(generation)
    assert llm.batch(inputs) == [ANSWER] * 6
    assert await llm.abatch(inputs) == [ANSWER] * 6


def test_one_prompt(llm: RocmLLM) -> None:
    [[generation]] = llm.generate(["Hi"]).generations
    assert_full_answer(generation)


def test_the_prompt_is_sent_as_it_is(llm: RocmLLM) -> None:
    [[generation]] = llm.generate(["abc"]).generations
    assert generation.generation_info is not None
    assert generation.generation_info["usage"]["input_tokens"] == 3  # no template around it


def test_options(llm: RocmLLM, engine: Engine) -> None:
    assert llm.invoke("Hi", stop=[" small"]) == "Hello! I am the"
    stopping = RocmLLM(model=RECITER, engine=engine, stop=[" small"])
    assert stopping.invoke("Hi") == "Hello! I am the"
    assert stopping.invoke("Hi", stop=[]) == ANSWER
    [[generation]] = llm.generate(["Hi"], max_tokens=2).generations
    assert generation.text == "".join(PIECES[:2])
    assert generation.generation_info is not None
    assert generation.generation_info["finish_reason"] == "length"


class Tokens(BaseCallbackHandler):
    """Remembers the tokens it was told of."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.heard.append(token)


async def test_callbacks_hear_each_token_once(llm: RocmLLM) -> None:
    tokens = Tokens()
    config: Any = {"callbacks": [tokens]}
    list(llm.stream("Hi", config=config))
    assert tokens.heard == list(PIECES)
    llm.invoke("Hi", config=config)
    assert tokens.heard == list(PIECES) * 2
    await llm.ainvoke("Hi", config=config)
    assert [text async for text in llm.astream("Hi", config=config)]
    assert tokens.heard == list(PIECES) * 4


def test_errors(llm: RocmLLM, engine: Engine) -> None:
    with pytest.raises(ContextOverflowError):
        llm.invoke("x" * 10_000)
    with pytest.raises(ContextOverflowError):
        llm.generate(["Hi", "x" * 10_000])
    with pytest.raises(ContextOverflowError):
        asyncio.run(llm.agenerate(["Hi", "x" * 10_000]))
    with pytest.raises(errors.ModelNotFound):
        RocmLLM(model="nowhere.gguf", engine=engine).generate(["a", "b"])


def test_identity(llm: RocmLLM) -> None:
    assert llm._llm_type == "rocm-llm"
    assert llm._get_ls_params(model="other") == {
        "ls_provider": "rocm",
        "ls_model_name": "other",
        "ls_model_type": "llm",
    }
    assert pickle.loads(pickle.dumps(llm)).invoke("Hi") == ANSWER


def test_closing_a_stream_frees_the_slot(endless: RocmLLM) -> None:
    stream = endless.stream("Hi")
    next(stream)
    assert busy(endless) == 1
    stream.close()  # type: ignore[attr-defined]
    assert_freed(endless)


def test_an_error_in_one_prompt_breaks_the_others_off(endless: RocmLLM) -> None:
    with pytest.raises(ContextOverflowError):
        endless.generate(["x" * 10_000, "Hi", "Ho"])
    assert_freed(endless)


async def test_cancelling_frees_the_slots(endless: RocmLLM) -> None:
    task = asyncio.ensure_future(endless.agenerate(["Hi", "Ho"]))
    await auntil_busy(endless, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_afreed(endless)


async def test_the_bad_one_of_several_prompts_is_told_by_its_index(llm: RocmLLM) -> None:
    prompts = ["a", "b", "c\ud83d"]
    with pytest.raises(errors.ConfigError, match=r"prompts\[2\], which begins with 'c.*surrogate"):
        llm.generate(prompts)
    with pytest.raises(errors.ConfigError, match=r"prompts\[2\], which begins with 'c.*surrogate"):
        await llm.agenerate(prompts)
    with pytest.raises(errors.ConfigError, match=r"prompt, which begins with 'c.*surrogate"):
        llm.invoke(prompts[2])
