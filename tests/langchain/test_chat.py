"""``ChatRocm`` on the real engines."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ContextOverflowError, ModelError, ModelNotFoundError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.outputs import LLMResult
from pydantic import ValidationError

from langchain_rocm import ChatRocm, errors
from rocm_core.backend.local import LocalConnection
from rocm_core.config import Engine
from tests.support.models.reciter import ANSWER, PIECES, RECITER


def server_pid(chat: ChatRocm) -> int | None:
    connection = chat.text_model.connection
    assert isinstance(connection, LocalConnection)
    return connection.server.pid


def assert_full_answer(message: AIMessage) -> None:
    assert message.text == ANSWER
    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] > 0
    assert message.usage_metadata["output_tokens"] == len(PIECES) + 1  # and the end token
    assert message.usage_metadata["total_tokens"] == (
        message.usage_metadata["input_tokens"] + message.usage_metadata["output_tokens"]
    )
    assert "cache_read" in message.usage_metadata["input_token_details"]
    metadata = message.response_metadata
    assert metadata["model_name"] == "reciter"
    assert metadata["model_provider"] == "rocm"
    assert metadata["finish_reason"] == "stop"
    assert metadata["timings"]["predicted_n"] == len(PIECES) + 1
    assert metadata["timings"]["predicted_ms"] > 0


def added_up(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0] + chunks[1:]


# ---------------------------------------------------------------------------
# Generation
# ---------------------------------------------------------------------------


def test_invoke(chat: ChatRocm) -> None:
    assert_full_answer(chat.invoke("Hi"))


async def test_ainvoke(chat: ChatRocm) -> None:
    assert_full_answer(await chat.ainvoke("Hi"))


def test_stream(chat: ChatRocm) -> None:
    chunks = list(chat.stream([SystemMessage("Be brief."), HumanMessage("Hi")]))
    assert [chunk.text for chunk in chunks] == [*PIECES, ""]
    assert_full_answer(added_up(chunks))
    assert [chunk.chunk_position for chunk in chunks].count("last") == 1


async def test_astream(chat: ChatRocm) -> None:
    chunks = [chunk async for chunk in chat.astream("Hi")]
    assert [chunk.text for chunk in chunks] == [*PIECES, ""]
    assert_full_answer(added_up(chunks))


def test_batch(chat: ChatRocm) -> None:
    answers = chat.batch(["a", "b", "c", "d", "e"])
    assert [answer.text for answer in answers] == [ANSWER] * 5


async def test_a_batch_of_any_size_waits_for_its_turn(chat: ChatRocm) -> None:
    answers = await chat.abatch(["Hi"] * 60, max_tokens=2)
    assert len({answer.content for answer in answers}) == 1
    assert chat.text_model.connection.config.max_queue is None


async def test_abatch(chat: ChatRocm) -> None:
    answers = await chat.abatch(["a", "b", "c", "d", "e"])
    assert [answer.text for answer in answers] == [ANSWER] * 5


def test_the_cached_part_of_the_prompt_is_told(chat: ChatRocm) -> None:
    prompt = "The same words twice, so that the second time they are in the cache."
    chat.invoke(prompt, max_tokens=1)
    usage = chat.invoke(prompt, max_tokens=1).usage_metadata
    assert usage is not None
    assert usage["input_token_details"]["cache_read"] > 10


def test_event_loops_one_after_another(chat: ChatRocm) -> None:
    async def both() -> None:
        assert (await chat.ainvoke("Hi")).text == ANSWER
        assert [c async for c in chat.astream("Hi", max_tokens=2)]

    asyncio.run(both())
    asyncio.run(both())


class Recorder(BaseCallbackHandler):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.ends: list[LLMResult] = []
        self.errors: list[BaseException] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.ends.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


def test_callbacks_hear_each_token_once(chat: ChatRocm) -> None:
    recorder = Recorder()
    list(chat.stream("Hi", config={"callbacks": [recorder]}))
    assert recorder.tokens == [*PIECES, ""]
    assert recorder.ends[0].generations[0][0].text == ANSWER


def test_streaming_and_disable_streaming(engine: Engine, chat: ChatRocm) -> None:
    def answer(**options: Any) -> tuple[int, int]:
        recorder = Recorder()
        with_options = ChatRocm(model=RECITER, engine=engine, callbacks=[recorder], **options)
        chunks = len(list(with_options.stream("Hi")))
        told = len(recorder.tokens)
        recorder.tokens.clear()
        with_options.invoke("Hi")
        return chunks, len(recorder.tokens) if told else -1

    many = len(PIECES) + 1
    assert answer() == (many, 0)
    assert answer(streaming=True) == (many, many)
    assert answer(streaming=False) == (1, -1)
    assert answer(disable_streaming=True) == (1, -1)


def test_langchains_stream_switch_is_not_a_request_field(chat: ChatRocm) -> None:
    assert chat.invoke("Hi", stream=False).text == ANSWER
    assert chat.invoke("Hi", stream=True).text == ANSWER


# ---------------------------------------------------------------------------
# Options
# ---------------------------------------------------------------------------


def test_max_tokens(chat: ChatRocm, engine: Engine) -> None:
    short = ChatRocm(model=RECITER, engine=engine, max_tokens=3)
    for answer in (short.invoke("Hi"), chat.invoke("Hi", max_tokens=3)):
        assert answer.text == "".join(PIECES[:3])
        assert answer.response_metadata["finish_reason"] == "length"
    assert len(short.invoke("Hi", max_tokens=5).text) > len(short.invoke("Hi").text)


def test_stop(chat: ChatRocm, engine: Engine) -> None:
    stopping = ChatRocm(model=RECITER, engine=engine, stop=[" small"])
    assert stopping.invoke("Hi").text == "Hello! I am the"
    assert stopping.invoke("Hi", stop=[" the"]).text == "Hello! I am"
    assert stopping.invoke("Hi", stop=[]).text == ANSWER
    assert chat.invoke("Hi", stop=[" small"]).text == "Hello! I am the"
    assert chat.bind(stop=[" small"]).invoke("Hi").response_metadata["finish_reason"] == "stop"
    assert ChatRocm(model=RECITER, engine=engine, stop=[]).invoke("Hi").text == ANSWER


def test_a_call_takes_any_option_and_any_request_field(chat: ChatRocm) -> None:
    plain = chat.invoke("Hi", temperature=0.0, top_k=1, seed=7)
    assert plain.text == ANSWER
    forced = chat.invoke("Hi", grammar='root ::= "Hello! I am the"')
    assert forced.text == "Hello! I am the"
    asked = chat.invoke("Hi", max_tokens=2, logprobs=True, top_logprobs=2)
    assert len(asked.response_metadata["logprobs"]["content"]) == 2


def test_an_impossible_option_of_a_call(chat: ChatRocm) -> None:
    with pytest.raises(errors.ConfigError, match="max_tokens"):
        chat.invoke("Hi", max_tokens=-7)
    with pytest.raises(errors.ConfigError, match=r"batch\(\)"):
        chat.invoke("Hi", n=2)
    with pytest.raises(errors.InvalidRequest):
        chat.invoke("Hi", grammar="this is no grammar")


def test_a_cache_tells_instances_apart(engine: Engine, chat: ChatRocm) -> None:
    cache = InMemoryCache()

    def answer(**options: Any) -> str:
        return ChatRocm(model=RECITER, engine=engine, cache=cache, **options).invoke("Hi").text

    assert answer() == ANSWER
    assert answer(stop=[" small"]) == "Hello! I am the"
    assert answer(max_tokens=1) == "Hello!"
    assert answer() == ANSWER
    assert len(cache._cache) == 3


# ---------------------------------------------------------------------------
# One server
# ---------------------------------------------------------------------------


def test_instances_share_a_server(chat: ChatRocm, engine: Engine) -> None:
    chat.invoke("Hi", max_tokens=1)
    twin = ChatRocm(model=RECITER, engine=engine, temperature=0.5)
    other = ChatRocm(model=RECITER, engine=engine, context_len=512)
    try:
        twin.invoke("Hi", max_tokens=1)
        other.invoke("Hi", max_tokens=1)
        assert server_pid(twin) == server_pid(chat)
        assert server_pid(other) != server_pid(chat)
    finally:
        twin.close()
        other.close()
    assert chat.invoke("Hi").text == ANSWER


def test_close_ends_the_server_and_the_next_call_opens_again(engine: Engine) -> None:
    chat = ChatRocm(model=RECITER, engine=engine, context_len=1024)
    chat.invoke("Hi", max_tokens=1)
    pid = server_pid(chat)
    assert pid
    chat.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    chat.close()
    assert chat.invoke("Hi", max_tokens=1).text == "Hello!"
    chat.close()


def test_close_breaks_off_a_stream(engine: Engine) -> None:
    chat = ChatRocm(model=RECITER, engine=engine, context_len=2048, ignore_eos=True)
    stream = chat.stream("Hi")
    next(stream)
    chat.close()
    with pytest.raises(errors.ServerStopped):
        list(stream)


@pytest.mark.parametrize(
    "copied",
    [
        lambda chat: pickle.loads(pickle.dumps(chat)),
        copy.copy,
        copy.deepcopy,
        lambda chat: chat.model_copy(update={"temperature": 0.5}),
    ],
    ids=["pickle", "copy", "deepcopy", "model_copy"],
)
def test_copies_have_a_share_of_their_own(
    chat: ChatRocm, copied: Callable[[ChatRocm], ChatRocm]
) -> None:
    chat.invoke("Hi", max_tokens=1)
    twin = copied(chat)
    assert twin.invoke("Hi", max_tokens=1).text == "Hello!"
    assert server_pid(twin) == server_pid(chat)
    twin.close()
    assert chat.invoke("Hi", max_tokens=1).text == "Hello!"


# ---------------------------------------------------------------------------
# Errors and secrets
# ---------------------------------------------------------------------------


def test_context_overflow_tells_both_numbers(chat: ChatRocm) -> None:
    recorder = Recorder()
    with pytest.raises(ContextOverflowError) as caught:
        chat.invoke("x" * 10_000, config={"callbacks": [recorder]})
    error = caught.value
    assert isinstance(error, errors.ContextOverflow)
    assert error.n_ctx == 8192
    assert error.n_prompt_tokens is not None
    assert error.n_prompt_tokens > 10_000
    assert str(error.n_prompt_tokens) in str(error) and "8192" in str(error)
    assert recorder.errors == [error]


async def test_errors_are_the_same_in_async(chat: ChatRocm) -> None:
    with pytest.raises(ContextOverflowError):
        await chat.ainvoke("x" * 10_000)
    with pytest.raises(ContextOverflowError):
        [chunk async for chunk in chat.astream("x" * 10_000)]


def test_a_model_that_is_not_there(engine: Engine) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model 'nowhere\.gguf'"):
        ChatRocm(model="nowhere.gguf", engine=engine).invoke("Hi")


def test_an_address_where_nothing_answers() -> None:
    chat = ChatRocm(base_url="http://127.0.0.1:9", max_retries=0)
    with pytest.raises(errors.ServerUnreachable) as caught:
        chat.invoke("Hi")
    assert isinstance(caught.value, ModelError)
    assert isinstance(caught.value, ConnectionError)


def test_options_that_do_not_exist_or_do_not_fit() -> None:
    with pytest.raises(ValidationError, match="Did you mean 'temperature'"):
        ChatRocm(model="demo", temperatur=0.5)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="context_len must be 0 or more"):
        ChatRocm(model="demo", context_len=-1)
    with pytest.raises(ValidationError, match="give model="):
        ChatRocm()


def test_the_key_is_shown_nowhere() -> None:
    chat = ChatRocm(base_url="http://127.0.0.1:9", api_key="geheim")  # type: ignore[arg-type]
    shown = f"{chat!r} {chat} {chat.asdict()} {chat._identifying_params} {chat._serialized}"
    assert "geheim" not in shown
    with pytest.raises(ValidationError) as caught:
        ChatRocm(base_url="http://x", api_key="geheim", temperatur=1)  # type: ignore
    assert "geheim" not in str(caught.value)


def test_metadata_needs_no_server() -> None:
    chat = ChatRocm(model="demo", temperature=0.25, max_tokens=9, stop=["x"])
    assert chat._llm_type == "rocm-chat"
    assert chat._identifying_params == {
        "model": "demo",
        "temperature": 0.25,
        "max_tokens": 9,
        "default_stop": ["x"],
    }
    assert chat._get_ls_params() == {
        "ls_provider": "rocm",
        "ls_model_name": "demo",
        "ls_model_type": "chat",
        "ls_temperature": 0.25,
        "ls_max_tokens": 9,
        "ls_stop": ["x"],
    }
    assert chat._get_ls_params(stop=[], model="other", temperature=0)["ls_model_name"] == "other"
    assert chat.metadata is not None
    assert {"langchain-core", "llama-rocm"} <= set(chat.metadata["lc_versions"])
    assert chat._text_model is None
