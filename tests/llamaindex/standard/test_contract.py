"""What LlamaIndex's own tests ask of its fake models and of llms-ollama, asked of ``RocmLLM``."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.agent.react.formatter import ReActChatFormatter
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    TextBlock,
)
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.callbacks.schema import EventPayload
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR
from pydantic import BaseModel, Field, SecretStr

from llama_index_rocm import RocmLLM
from rocm_core.config import Timeouts
from rocm_core.errors import RequestTimeout
from tests.support.adapters.observing import observed_events
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import STALL, FakeServer, Reply, answer, stream
from tests.support.servers.scripts import call, chat, say, script, sent, think, unfinished

HELLO = [ChatMessage("Hello")]
EIGHT = (
    *("chat", "stream_chat", "achat", "astream_chat"),
    *("complete", "stream_complete", "acomplete", "astream_complete"),
)


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    script(scripted, chat(say("Hi there")))
    return scripted


# -- the class --------------------------------------------------------------------------------


def test_its_family() -> None:
    names = [cls.__name__ for cls in RocmLLM.__mro__]
    assert BaseLLM.__name__ in names
    assert names.index("FunctionCallingLLM") < names.index("CustomLLM") < names.index("LLM")
    assert issubclass(RocmLLM, FunctionCallingLLM) and issubclass(RocmLLM, CustomLLM)
    assert not inspect.isabstract(RocmLLM)


def test_all_eight_methods_are_its_own() -> None:
    for name in EIGHT:
        assert name in vars(RocmLLM), name
        assert hasattr(vars(RocmLLM)[name], DISPATCHER_SPAN_DECORATED_ATTR), name


def test_tool_required_is_named_in_the_signature() -> None:
    names = inspect.signature(RocmLLM._prepare_chat_with_tools).parameters
    assert {"tools", "user_msg", "chat_history", "verbose", "tool_required", "tool_choice"} <= set(
        names
    )


def test_no_callback_manager_is_fine(server: FakeServer) -> None:
    llm = RocmLLM(model=server.url, callback_manager=None)  # type: ignore[arg-type]
    assert llm.complete("x").text == "Hi there"


# -- prompts ----------------------------------------------------------------------------------


async def test_a_prompt_by_position_or_by_name(scripted_llm: RocmLLM) -> None:
    ways: list[tuple[Any, dict[str, Any]]] = [(("x",), {}), ((), {"prompt": "x"})]
    for args, kwargs in ways:
        assert scripted_llm.complete(*args, **kwargs).text == "Hi there"
        deltas = [r.delta or "" for r in scripted_llm.stream_complete(*args, **kwargs)]
        assert "".join(deltas) == "Hi there"
        assert (await scripted_llm.acomplete(*args, **kwargs)).text == "Hi there"
        stream = await scripted_llm.astream_complete(*args, **kwargs)
        assert "".join([r.delta or "" async for r in stream]) == "Hi there"


@pytest.mark.parametrize("name", ["complete", "stream_complete"])
def test_two_prompts_or_none_are_refused(scripted_llm: RocmLLM, name: str) -> None:
    with pytest.raises(TypeError):
        getattr(scripted_llm, name)("x", prompt="x")
    with pytest.raises((ValueError, TypeError)):
        getattr(scripted_llm, name)()


async def test_a_stream_without_a_word(scripted_llm: RocmLLM, server: FakeServer) -> None:
    script(server, chat())
    assert [r.delta for r in scripted_llm.stream_chat(HELLO)] == [""]
    assert [r.delta async for r in await scripted_llm.astream_chat(HELLO)] == [""]


async def test_every_response_has_a_delta_and_text(llm: RocmLLM) -> None:
    for r in llm.stream_chat(HELLO):
        assert r.delta is not None and r.message.role == "assistant"
    async for c in await llm.astream_complete("Hello"):
        assert c.delta is not None
    assert str(llm.chat(HELLO)).strip() and str(llm.complete("Hello")).strip()


# -- payloads ---------------------------------------------------------------------------------


def test_callbacks_get_no_secrets(server: FakeServer) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = RocmLLM(
        model=server.url,
        api_key=SecretStr("sk-super-secret"),
        temperature=0.25,
        callback_manager=CallbackManager([debug]),
    )
    with observed_events() as seen:
        llm.complete("x")
        llm.chat(HELLO)
    for start, _ in debug.get_event_pairs(CBEventType.LLM):
        payload = (start.payload or {})[EventPayload.SERIALIZED]
        assert payload["class_name"] == "rocm_llm"
        assert payload["temperature"] == 0.25
        assert payload["model"] == payload["model_name"]
        assert "api_key" not in payload
    assert "sk-super-secret" not in str([event.model_dump() for event in seen.events])


def test_rate_limiter_is_heeded(server: FakeServer) -> None:
    waited: list[bool] = []

    class Counting(TokenBucketRateLimiter):
        def acquire(self, num_tokens: int = 0) -> None:
            waited.append(True)

    llm = RocmLLM(model=server.url, rate_limiter=Counting(requests_per_minute=1))
    llm.complete("x")
    list(llm.stream_chat(HELLO))
    assert waited == [True, True]


# -- tools ------------------------------------------------------------------------------------


class Person(BaseModel):
    name: str = Field(description="Person name")


async def test_predict_and_call_reports_a_tool_that_fails(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    script(server, chat(call("Person")))
    tool = get_function_tool(Person)
    assert scripted_llm.predict_and_call([tool]).sources[0].is_error
    assert (await scripted_llm.apredict_and_call([tool])).sources[0].is_error
    with pytest.raises(ValueError, match="name"):
        scripted_llm.predict_and_call([tool], error_on_tool_error=True)
    with pytest.raises(ValueError, match="name"):
        await scripted_llm.apredict_and_call([tool], error_on_tool_error=True)


def test_without_tools_in_the_template_predict_and_call_is_react(server: FakeServer) -> None:
    script(server, chat(say("Thought: do it\nAction: hello\nAction Input: {}\n")))
    props = answer("props.b11434").steps[0]
    assert isinstance(props, bytes)
    server.script(
        "/props",
        answer(
            props.replace(b'"supports_tool_calls":true', b'"supports_tool_calls":false')
            # In another notation of calls than one that can be sent as text.
            .replace(b"tool_call>", b"some_call>")
        ),
    )
    llm = RocmLLM(model=server.url)
    llm.text_model.load()
    assert not llm.metadata.is_function_calling_model

    def hello() -> str:
        return "hello!!"

    response = llm.predict_and_call(
        [FunctionTool.from_defaults(hello, return_direct=True)],
        ChatMessage("run"),
        [],
        react_chat_formatter=ReActChatFormatter.from_defaults(),
        output_parser=ReActOutputParser(),
    )
    assert response.sources[0].content == "hello!!"
    assert "tools" not in sent(server)[0]


# -- a server that is not ready, or sends what it should not -----------------------------------


async def test_a_server_that_still_loads_is_waited_for(server: FakeServer) -> None:
    loading = answer("error_503_loading.b11434", 503)
    server.script("/props", loading, loading, answer("props.b11434"))
    llm = RocmLLM(model=server.url)
    assert (await llm.acomplete("x")).text == "Hi there"
    # The answer itself was asked for once: nothing is retried behind your back.
    paths = [r.path for r in server.requests]
    assert paths == ["/props"] * 3 + ["/v1/models", "/v1/chat/completions"]


def test_cache_points_pass(scripted_llm: RocmLLM, server: FakeServer) -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    scripted_llm.chat([ChatMessage(blocks=[TextBlock(text="a"), point])])
    assert sent(server)[0]["messages"][0]["content"] == "a"


def test_thinking_can_be_switched_off_by_the_call(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    switch = {"chat_template_kwargs": {"enable_thinking": False}}
    scripted_llm.chat(HELLO, **switch)
    scripted_llm.chat(HELLO)
    first, second = sent(server)
    assert first["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in second


def test_thinking_can_be_switched_by_instance_and_call(server: FakeServer) -> None:
    llm = RocmLLM(model=server.url, reasoning=False)
    script(server, *[chat(say("Hi"))] * 4)
    llm.chat(HELLO)
    llm.chat(HELLO, reasoning=True)
    llm.complete("Hello", reasoning="high")
    llm.chat(HELLO, chat_template_kwargs={"enable_thinking": True})
    off, on, effort, by_hand = sent(server)
    assert off["chat_template_kwargs"] == {"enable_thinking": False}
    assert on["chat_template_kwargs"] == by_hand["chat_template_kwargs"]
    assert on["chat_template_kwargs"] == {"enable_thinking": True}
    assert effort["reasoning_effort"] == "high" and "chat_template_kwargs" not in effort
    assert not any("reasoning" in body for body in (off, on, effort, by_hand))
    assert RocmLLM.from_dict(llm.to_dict()).reasoning is False


def test_both_names_of_reasoning(scripted_llm: RocmLLM, server: FakeServer) -> None:
    for field in ("reasoning_content", "reasoning"):
        deltas = [{field: delta["content"]} for delta in say("Hm, yes.")]
        script(server, chat(deltas, say("Yes.")))
        last = list(scripted_llm.stream_chat(HELLO))[-1]
        assert last.message.blocks[0].content == "Hm, yes."  # type: ignore[union-attr]
        assert last.message.content == "Yes."


async def test_four_calls_take_the_time_of_one(server: FakeServer) -> None:
    # A server that needs half a second, whatever the load of this machine.
    body = b"".join(step for step in chat(say("a b c")).steps if isinstance(step, bytes))
    script(server, stream(body, 0.5))
    llm = RocmLLM(model=server.url, max_in_flight=4)

    async def seconds(calls: int) -> float:
        begun = time.perf_counter()
        await asyncio.gather(*(llm.acomplete("Hello") for _ in range(calls)))
        return time.perf_counter() - begun

    await seconds(1)
    assert await seconds(4) < 1.6 * await seconds(1)


async def test_no_step_of_the_loop_works_for_10_ms(
    llm: RocmLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CPU time, so that neighbors on the machine do not count.
    worst = 0.0
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        nonlocal worst
        begun = time.thread_time()
        run(handle)
        worst = max(worst, time.thread_time() - begun)

    await llm.acomplete("Hello")
    gc.collect()
    gc.disable()  # a collection of all that the tests before have left is not ours
    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    await asyncio.gather(
        *(llm.acomplete("Hello") for _ in range(4)),
        *(llm.achat(HELLO, tools=[{"type": "function", "function": {"name": "f"}}],
                    tool_choice="none") for _ in range(2)),
    )  # fmt: skip
    _ = [r async for r in await llm.astream_chat(HELLO)]
    monkeypatch.undo()
    gc.enable()
    assert 0 < worst < 0.010


def test_thoughts_never_reach_the_text_of_a_chat_engine(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    from llama_index.core.chat_engine import SimpleChatEngine

    script(server, chat(think("secret plans"), say("Hello.")))
    engine = SimpleChatEngine.from_defaults(
        llm=scripted_llm, memory=ChatMemoryBuffer.from_defaults(tokenizer_fn=str.split)
    )
    assert "".join(engine.stream_chat("Hi").response_gen) == "Hello."
    assert [m.content for m in engine.chat_history] == ["Hi", "Hello."]


def test_threads_share_an_instance(llm: RocmLLM) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(lambda _: llm.complete("Hello").text, range(12)))
    assert answers == {llm.complete("Hello").text}


@pytest.mark.parametrize(
    ("option", "phase"), [("first_token_timeout", "first_token"), ("idle_timeout", "idle")]
)
def test_a_limit_that_passes_is_named(server: FakeServer, option: str, phase: str) -> None:
    silent = Reply(before=[STALL])
    script(server, silent if phase == "first_token" else unfinished(say("Hi")))
    limits: dict[str, Any] = {option: 0.3}
    llm = RocmLLM(model=server.url, **limits)
    with pytest.raises(RequestTimeout, match=phase) as caught:
        llm.complete("x")
    assert caught.value.phase == phase


def test_no_limit_on_the_whole_answer_unless_asked_for() -> None:
    assert RocmLLM(model=RECITER).timeouts() == Timeouts(
        connect=5.0, first_token=None, idle=75.0, total=None
    )
    assert RocmLLM(model="http://127.0.0.1:1", timeout=9).timeouts().total == 9
