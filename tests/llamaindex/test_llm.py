"""``RocmLLM`` on both real engines: answers, facts, options, life."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from copy import copy, deepcopy
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms import CustomLLM
from pydantic import SecretStr, ValidationError

from llama_index_rocm import RocmLLM
from rocm_core.backend.local import LocalConnection
from rocm_core.errors import ConfigError, ContextOverflow, ModelNotFound
from tests.support.models.reciter import ANSWER, CONTEXT, PIECES, RECITER

HELLO = [ChatMessage("Hello")]
SPOKEN = len(PIECES) + 1  # the end token counts


async def every_answer(llm: RocmLLM, **options: Any) -> list[tuple[str, str, Any]]:
    """The answer of each of the eight methods: its name, its text, its last response."""
    chats = {
        "chat": [llm.chat(HELLO, **options)],
        "stream_chat": list(llm.stream_chat(HELLO, **options)),
        "achat": [await llm.achat(HELLO, **options)],
        "astream_chat": [r async for r in await llm.astream_chat(HELLO, **options)],
    }
    completions = {
        "complete": [llm.complete("Hello", **options)],
        "stream_complete": list(llm.stream_complete("Hello", **options)),
        "acomplete": [await llm.acomplete("Hello", **options)],
        "astream_complete": [r async for r in await llm.astream_complete("Hello", **options)],
    }
    return [(name, str(rs[-1].message.content), rs[-1]) for name, rs in chats.items()] + [
        (name, rs[-1].text, rs[-1]) for name, rs in completions.items()
    ]


def pid(llm: RocmLLM) -> int | None:
    connection = llm.text_model.connection
    assert isinstance(connection, LocalConnection)
    return connection.server.pid


# -- answers ----------------------------------------------------------------------------------


async def test_eight_methods_give_one_answer_with_usage(llm: RocmLLM) -> None:
    answers = await every_answer(llm)
    assert [name for name, _, _ in answers] == [
        *("chat", "stream_chat", "achat", "astream_chat"),
        *("complete", "stream_complete", "acomplete", "astream_complete"),
    ]
    for name, text, last in answers:
        assert text == ANSWER, name
        usage = last.raw["usage"]
        assert usage["completion_tokens"] == SPOKEN, name
        assert usage["prompt_tokens"] > 1, name
        assert usage["total_tokens"] == usage["prompt_tokens"] + SPOKEN, name
        assert last.raw["finish_reason"] == "stop", name
        assert last.raw["model"], name
        assert last.raw["timings"]["predicted_n"] == SPOKEN, name


def test_stream_has_a_delta_per_token_and_cumulative_text(llm: RocmLLM) -> None:
    chat = list(llm.stream_chat(HELLO))
    completion = list(llm.stream_complete("Hello"))
    assert [r.delta for r in chat] == [r.delta for r in completion] == [*PIECES, ""]
    assert [r.message.content for r in chat] == [r.text for r in completion]
    assert chat[2].message.content == "".join(PIECES[:3])
    assert all(isinstance(r, ChatResponse) for r in chat)
    assert all(isinstance(r, CompletionResponse) for r in completion)
    assert all(r.message.role == MessageRole.ASSISTANT for r in chat)


async def test_async_stream_equals_the_sync_one(llm: RocmLLM) -> None:
    stream = await llm.astream_chat(HELLO, temperature=0)
    assert [r.delta async for r in stream] == [r.delta for r in llm.stream_chat(HELLO)]


def test_prompt_goes_through_the_models_template(llm: RocmLLM) -> None:
    chat = llm.chat(HELLO)
    completion = llm.complete("Hello")
    assert completion.raw is not None and chat.raw is not None
    assert completion.raw["usage"]["prompt_tokens"] == chat.raw["usage"]["prompt_tokens"]


async def test_formatted_prompt_goes_as_it_is(llm: RocmLLM) -> None:
    prompt = "one two"
    exact = len(llm.text_model.tokenize(prompt, add_special=True))
    responses = [
        llm.complete(prompt, formatted=True),
        list(llm.stream_complete(prompt, formatted=True))[-1],
        await llm.acomplete(prompt, True),
        [r async for r in await llm.astream_complete(prompt, formatted=True)][-1],
    ]
    for response in responses:
        assert response.text == ANSWER
        assert response.raw is not None
        assert response.raw["usage"]["prompt_tokens"] == exact


async def test_own_prompt_functions_replace_the_template(llm: RocmLLM) -> None:
    own = llm.model_copy(
        update={
            "messages_to_prompt": lambda messages: f"<{messages[0].content}>",
            "completion_to_prompt": lambda prompt: f"[{prompt}]",
        }
    )
    try:
        for _, text, last in await every_answer(own):
            assert text == ANSWER
            assert last.raw["prompt"] in ("<Hello>", "[Hello]")
        assert own.complete("Hello", formatted=True).raw["prompt"] == "Hello"
    finally:
        own.close()


def test_messages_are_not_changed(llm: RocmLLM) -> None:
    history = [ChatMessage("Be brief.", role="system"), ChatMessage("Hello")]
    before = [message.model_copy(deep=True) for message in history]
    llm.chat(history)
    list(llm.stream_chat(history))
    assert history == before


def test_logprobs(llm: RocmLLM) -> None:
    response = llm.chat(HELLO, logprobs=True, top_logprobs=2, max_tokens=3)
    assert response.logprobs is not None
    assert [token[0].token for token in response.logprobs] == list(PIECES[:3])
    assert [len(token) for token in response.logprobs] == [2, 2, 2]
    (native,) = llm.complete("Hi", formatted=True, n_probs=2, max_tokens=1).logprobs
    assert native[0].token == PIECES[0]


# -- options ----------------------------------------------------------------------------------


async def test_options_of_a_call_are_honored_by_all_eight(llm: RocmLLM) -> None:
    for name, text, last in await every_answer(llm, max_tokens=4):
        assert text == "".join(PIECES[:4]), name
        assert last.raw["finish_reason"] == "length", name
    for name, text, _ in await every_answer(llm, stop=[" demo"]):
        assert text == "Hello! I am the small", name
    for name, text, _ in await every_answer(llm, grammar='root ::= "yes"'):
        assert text == "yes", name


def test_a_call_overrides_the_instance_and_unset_ones_are_not_sent(llm: RocmLLM) -> None:
    own = llm.model_copy(update={"max_tokens": 2, "temperature": 0.25})
    try:
        assert own.complete("Hi").text == "".join(PIECES[:2])
        assert own.complete("Hi", max_tokens=3).text == "".join(PIECES[:3])
        assert own.complete("Hi", max_tokens=None).text == ANSWER
        settings = own.complete("Hi", formatted=True).raw["generation_settings"]
        assert settings["temperature"] == 0.25
        settings = llm.complete("Hi", formatted=True).raw["generation_settings"]
        assert settings["temperature"] == pytest.approx(0.8)  # the server's own
    finally:
        own.close()


def test_unknown_option_is_refused_with_a_hint() -> None:
    with pytest.raises(ValidationError, match="Did you mean 'temperature'"):
        RocmLLM(model=RECITER, temprature=0.1)  # type: ignore[call-arg]


# -- errors -----------------------------------------------------------------------------------


async def test_context_overflow_tells_the_numbers(llm: RocmLLM) -> None:
    with pytest.raises(ContextOverflow) as caught:
        llm.complete("x" * 9000)
    assert caught.value.n_ctx == CONTEXT
    with pytest.raises(ContextOverflow):
        await llm.acomplete("x" * 9000)
    with pytest.raises(ContextOverflow):
        next(llm.stream_complete("x" * 9000))
    with pytest.raises(ContextOverflow):
        await anext(await llm.astream_complete("x" * 9000))


def test_wrong_options_and_models_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_tokens"):
        RocmLLM(model=RECITER).complete("Hi", max_tokens=-7)
    with pytest.raises(ModelNotFound):
        RocmLLM(model="no such model").complete("Hi")
    with pytest.raises(ModelNotFound):
        _ = RocmLLM(model="no such model").metadata


async def test_image_for_a_text_model(llm: RocmLLM) -> None:
    picture = ChatMessage(blocks=[ImageBlock(image=b"\x89PNG\r\n\x1a\n" + bytes(16))])
    with pytest.raises(ConfigError, match=r"cannot see images.*mmproj="):
        llm.chat([picture])
    with pytest.raises(ConfigError, match=r"cannot see images"):
        list(llm.stream_chat([picture]))
    with pytest.raises(ConfigError, match=r"cannot see images"):
        await llm.achat([picture])
    with pytest.raises(ConfigError, match=r"cannot see images"):
        _ = [r async for r in await llm.astream_chat([picture])]


# -- facts ------------------------------------------------------------------------------------


def test_metadata_before_the_start() -> None:
    metadata = RocmLLM(model=RECITER).metadata
    assert metadata.context_window == CONTEXT
    assert metadata.num_output == 256
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model  # its template knows tools
    assert metadata.model_name == RECITER  # the server has not told its own yet
    assert RocmLLM(model=RECITER, context_len=2048).metadata.context_window == 2048
    assert RocmLLM(model=RECITER, context_len=10**6).metadata.context_window == CONTEXT
    assert RocmLLM(model=RECITER, max_tokens=99).metadata.num_output == 99
    assert RocmLLM(model=RECITER, max_tokens=-1).metadata.num_output == 256


def test_metadata_of_a_server_elsewhere() -> None:
    address = "http://127.0.0.1:1"
    assert RocmLLM(model=address).metadata.context_window == 3900
    assert RocmLLM(model=address, context_len=512).metadata.context_window == 512
    assert RocmLLM(base_url=address, model="m").metadata.model_name == "m"


def test_metadata_reads_the_header_once(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = RocmLLM(model=RECITER)
    expected = llm.metadata

    def forbidden(*_: object) -> None:
        raise AssertionError("I/O in a property")

    monkeypatch.setattr("llama_index_rocm.llm.read_gguf", forbidden)
    monkeypatch.setattr("llama_index_rocm.llm.resolve_ref", forbidden)
    assert llm.metadata == expected
    assert RocmLLM(model=RECITER).to_payload()["class_name"] == "rocm_llm"


def test_context_window_is_the_servers(llm: RocmLLM) -> None:
    llm.complete("Hi", max_tokens=1)
    slots = llm.text_model.connection.client.slots()
    assert {slot["n_ctx"] for slot in slots} == {llm.metadata.context_window} == {CONTEXT}


def test_context_window_of_a_slot_of_several(engine: Any) -> None:
    llm = RocmLLM(model=RECITER, engine=engine, context_len=1024, parallel=2)
    try:
        assert llm.metadata.context_window == 1024
        llm.complete("Hi", max_tokens=1)
        slots = llm.text_model.connection.client.slots()
        assert [slot["n_ctx"] for slot in slots] == [1024, 1024]
        assert llm.metadata.context_window == 1024
    finally:
        llm.close()


# -- serialization ----------------------------------------------------------------------------


def test_dict_round_trip() -> None:
    llm = RocmLLM(model=RECITER, temperature=0.5, stop=["x"], system_prompt="Be brief.")
    data = llm.to_dict()
    assert data["class_name"] == RocmLLM.class_name() == "rocm_llm"
    twin = RocmLLM.from_dict(data)
    assert twin.to_dict() == data
    assert twin.system_prompt == "Be brief."
    assert RocmLLM.from_json(llm.to_json()).stop == ["x"]


def test_no_secret_gets_out() -> None:
    llm = RocmLLM(model="http://127.0.0.1:1", api_key=SecretStr("sk-secret"))
    shown = [repr(llm), str(llm), llm.to_dict(), llm.to_json(), llm.to_payload(), llm.model_dump()]
    assert "sk-secret" not in str(shown)
    assert "api_key" not in llm.to_dict()
    again = RocmLLM.from_dict(llm.to_dict(), api_key="sk-secret")
    assert again.api_key == llm.api_key


def test_pickle_and_copies_open_a_share_of_their_own(
    llm: RocmLLM, caplog: pytest.LogCaptureFixture
) -> None:
    llm.complete("Hi", max_tokens=1)
    before = dict(vars(llm))
    for twin in (pickle.loads(pickle.dumps(llm)), copy(llm), deepcopy(llm)):
        assert twin.to_dict() == llm.to_dict()
        assert twin.complete("Hi", max_tokens=1).text == PIECES[0]
        assert pid(twin) == pid(llm)
        twin.close()
    assert llm.complete("Hi", max_tokens=1).text == PIECES[0]
    assert vars(llm) == before
    assert not caplog.records


def test_pickling_takes_nothing_away_from_the_living_object() -> None:
    llm = RocmLLM(model=RECITER, completion_to_prompt=lambda prompt: prompt.upper())
    pickle.dumps(llm)
    assert llm.completion_to_prompt is not None
    assert llm.completion_to_prompt("x") == "X"


# -- life -------------------------------------------------------------------------------------


def test_instances_with_the_same_options_share_a_server(llm: RocmLLM, engine: Any) -> None:
    other = RocmLLM(model=RECITER, engine=engine, temperature=0.9)
    llm.complete("Hi", max_tokens=1)
    other.complete("Hi", max_tokens=1)
    assert pid(other) == pid(llm) is not None
    other.close()
    assert llm.complete("Hi", max_tokens=1).text == PIECES[0]


def test_close_stops_the_server_and_the_next_call_starts_one(engine: Any) -> None:
    llm = RocmLLM(model=RECITER, engine=engine, context_len=512)
    llm.close()
    llm.complete("Hi", max_tokens=1)
    first = pid(llm)
    assert first is not None
    llm.close()
    llm.close()
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert llm.complete("Hi", max_tokens=1).text == PIECES[0]
    assert pid(llm) != first
    llm.close()


def test_one_instance_in_two_event_loops(llm: RocmLLM) -> None:
    async def ask() -> str:
        deltas = [r.delta or "" async for r in await llm.astream_chat(HELLO)]
        assert "".join(deltas) == (await llm.acomplete("Hi")).text
        return "".join(deltas)

    assert asyncio.run(ask()) == asyncio.run(ask()) == ANSWER


def test_it_is_a_custom_llm() -> None:
    assert issubclass(RocmLLM, CustomLLM)


def test_importing_and_constructing_start_nothing() -> None:
    code = """
import sys, threading

def refuse(event, _):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen"):
        raise AssertionError(event)

sys.addaudithook(refuse)
from llama_index_rocm import RocmLLM

llm = RocmLLM(model="demo")
repr(llm), llm.metadata, llm.to_dict(), llm.to_payload(), llm.close()
assert threading.active_count() == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_a_history_that_ends_in_tool_calls_is_refused_before_it_is_sent() -> None:
    call = ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": 2})
    history = [*HELLO, ChatMessage(role="assistant", blocks=[call])]
    llm = RocmLLM(base_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"\(add\): answer the tools first"):
        llm.chat(history)
    with pytest.raises(ConfigError, match="answer the tools first"):
        await llm.achat(history)
