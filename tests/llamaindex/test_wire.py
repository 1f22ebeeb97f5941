"""What ``RocmLLM`` sends, and what it does with answers that a healthy demo model never gives."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock
from pydantic import SecretStr

from llama_index_rocm import RocmLLM
from rocm_core.errors import StreamInterrupted
from tests.support.servers.fake_server import CUT, FakeServer, stream

HELLO = [ChatMessage("Hello")]
CHAT = "/v1/chat/completions"


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    scripted.script(CHAT, stream("chat_stream.b11434"))
    scripted.script("/completion", stream("completion_stream.b11434"))
    return scripted


def sent(server: FakeServer, path: str) -> dict[str, Any]:
    (request,) = [request for request in server.requests if request.path == path]
    body: dict[str, Any] = request.body
    return body


def test_only_what_was_asked_for_is_sent(server: FakeServer) -> None:
    RocmLLM(model=server.url).chat(HELLO)
    assert sent(server, CHAT) == {
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_only_what_was_asked_for_is_sent_with_a_raw_prompt(server: FakeServer) -> None:
    RocmLLM(model=server.url).complete("Hello", formatted=True)
    assert sent(server, "/completion") == {"prompt": "Hello", "stream": True}


@pytest.mark.parametrize(("formatted", "path"), [(False, CHAT), (True, "/completion")])
async def test_options_of_instance_and_call_are_sent(
    server: FakeServer, formatted: bool, path: str
) -> None:
    llm = RocmLLM(model=server.url, temperature=0.0, top_k=3, stop=["a"])
    await llm.acomplete(
        "Hi", formatted, seed=7, stop=["b"], top_k=None, dry_multiplier=0.8, cache_prompt=False
    )
    body = sent(server, path)
    assert body["temperature"] == 0.0
    assert body["seed"] == 7
    assert body["stop"] == ["b"]
    assert body["dry_multiplier"] == 0.8
    assert body["cache_prompt"] is False
    assert "top_k" not in body


def test_any_field_of_the_chat_api_is_passed_on(server: FakeServer) -> None:
    fields = {
        "chat_template_kwargs": {"enable_thinking": False},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "none",
        "reasoning_budget_tokens": 0,
    }
    list(RocmLLM(model=server.url).stream_chat(HELLO, **fields))
    assert sent(server, CHAT).items() >= fields.items()


@pytest.mark.parametrize(("formatted", "path"), [(False, CHAT), (True, "/completion")])
def test_a_field_that_we_do_not_know_goes_into_extra_body(
    server: FakeServer, formatted: bool, path: str
) -> None:
    llm = RocmLLM(model=server.url, extra_body={"new_field": 1, "other": {"a": 1}})
    llm.complete("Hi", formatted, extra_body={"new_field": 2})
    assert sent(server, path).items() >= {"new_field": 2, "other": {"a": 1}}.items()


def test_key_and_model_name_go_to_a_server_elsewhere(server: FakeServer) -> None:
    llm = RocmLLM(base_url=server.url, model="qwen", api_key=SecretStr("sk-1"))
    llm.chat(HELLO)
    assert server.requests[-1].headers["authorization"] == "Bearer sk-1"
    assert sent(server, CHAT)["model"] == "qwen"
    assert llm.metadata.context_window == 512  # of the captured /props


def test_reasoning_end_to_end(server: FakeServer) -> None:
    server.script(CHAT, stream("chat_stream_reasoning.b11434"))
    llm = RocmLLM(model=server.url)
    chunks = list(llm.stream_chat(HELLO))
    thinking = chunks[-1].message.blocks[0]
    assert isinstance(thinking, ThinkingBlock)
    assert thinking.content == "".join(
        chunk.additional_kwargs.get("thinking_delta", "") for chunk in chunks
    )
    assert "".join(chunk.delta or "" for chunk in chunks) == chunks[-1].message.content
    # The next turn does not repeat the thoughts.
    llm.chat([*HELLO, chunks[-1].message, ChatMessage("And?")])
    turn = server.requests[-1].body["messages"][1]
    assert turn == {"role": "assistant", "content": chunks[-1].message.content}


async def test_a_broken_stream_is_an_error_after_what_came(server: FakeServer) -> None:
    server.script(
        CHAT,
        stream("chat_stream.b11434", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', CUT),
    )
    llm = RocmLLM(model=server.url)
    chunks = llm.stream_chat(HELLO)
    assert next(chunks).delta == "x"
    with pytest.raises(StreamInterrupted):
        next(chunks)
    with pytest.raises(StreamInterrupted):
        llm.complete("Hi")
    with pytest.raises(StreamInterrupted):
        await llm.achat(HELLO)
    achunks = await llm.astream_complete("Hi")
    assert (await anext(achunks)).delta == "x"
    with pytest.raises(StreamInterrupted):
        await anext(achunks)
