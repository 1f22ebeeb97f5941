"""What a model cannot do is refused before it is asked; a call that must be made is insisted on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock
from llama_index.core.tools import FunctionTool

from llama_index_rocm import RocmLLM
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, InvalidAnswer
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, answer, capture
from tests.support.servers.scripts import authored, chat, say, script, sent
from tests.support.templates import template_names, template_text

PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def now() -> str:
    """Tell the time."""
    return "noon"


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(now)]


async def each_way(llm: RocmLLM, **options: Any) -> Iterator[Any]:
    """The last response of each of the four methods."""
    stream = list(llm.stream_chat_with_tools(TOOLS, "Go.", **options))
    astream = [r async for r in await llm.astream_chat_with_tools(TOOLS, "Go.", **options)]
    whole = await llm.achat_with_tools(TOOLS, "Go.", **options)
    return iter([stream[-1], astream[-1], whole, llm.chat_with_tools(TOOLS, "Go.", **options)])


# -- tools and images -------------------------------------------------------------------------


async def test_tools_that_the_template_would_drop_are_refused(engine: Engine) -> None:
    template = PLAIN + "<|im_start|>assistant\n"
    with closing(RocmLLM(model=RECITER, engine=engine, chat_template=template)) as llm:
        assert not llm.metadata.is_function_calling_model
        with pytest.raises(ConfigError, match=r"no place for tools.*chat_template="):
            llm.chat_with_tools(TOOLS, "Go.")
        with pytest.raises(ConfigError, match="no place for tools"):
            list(llm.stream_chat_with_tools(TOOLS, "Go."))
        with pytest.raises(ConfigError, match="no place for tools"):
            await llm.achat_with_tools(TOOLS, "Go.")
        with pytest.raises(ConfigError, match="no place for tools"):
            _ = [r async for r in await llm.astream_chat_with_tools(TOOLS, "Go.")]
        assert not llm.metadata.is_function_calling_model


def test_images_are_refused_before_anything_is_sent(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    facts = json.loads(capture("props.b11434"))
    facts["modalities"] = {"vision": False, "audio": False}
    server.script("/props", answer(json.dumps(facts).encode()))
    picture = ChatMessage(blocks=[ImageBlock(image=b"\x89PNG\r\n\x1a\n" + bytes(16))])
    with pytest.raises(ConfigError, match=r"cannot see images.*mmproj="):
        scripted_llm.chat([picture])
    assert not sent(server)


@pytest.mark.parametrize("caps", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("written", [False, True])
def test_whether_it_calls_functions(
    scripted_llm: RocmLLM, server: FakeServer, caps: tuple[bool, bool], written: bool
) -> None:
    """Calls that the template drops are sent as text where its notation is known."""
    facts = json.loads(capture("props.b11434"))
    facts["chat_template"] = "<|tool_call|>" if written else "{{ messages }}"
    facts["chat_template_caps"].update(supports_tools=caps[0], supports_tool_calls=caps[1])
    server.script("/props", answer(json.dumps(facts).encode()))
    scripted_llm.text_model.load()
    calls = caps[0] and (caps[1] or written)
    assert scripted_llm.metadata.is_function_calling_model is calls
    workflow = AgentWorkflow.from_tools_or_functions([add], llm=scripted_llm)
    assert isinstance(workflow.agents["Agent"], FunctionAgent if calls else ReActAgent)


@pytest.mark.slow
@pytest.mark.skipif(not template_names(), reason="tests/README.md: how to get the chat templates")
def test_the_first_request_does_not_change_whether_it_calls_functions(engine: Engine) -> None:
    flips = {}
    for name in template_names():
        options: dict[str, Any] = {"chat_template": template_text(name), "context_len": 512}
        with closing(RocmLLM(model=RECITER, engine=engine, **options)) as llm:
            before = llm.metadata.is_function_calling_model
            llm.text_model.load()
            if llm.metadata.is_function_calling_model is not before:
                flips[name] = before
    assert flips == {}


# -- a call that must be made -----------------------------------------------------------------


async def test_one_of_several_tools_is_really_called(llm: RocmLLM) -> None:
    """The demo model would talk for ever; ``required`` alone does not stop it."""
    for response in await each_way(llm, tool_required=True, max_tokens=40):
        [call] = llm.get_tool_calls_from_response(response)
        assert call.tool_name in ("add", "now")
        assert response.raw["usage"]["completion_tokens"] > 40  # both requests


async def test_the_second_request_forces_the_call_without_thinking() -> None:
    def stubborn(body: Any) -> Any:
        if "response_format" in body:
            return {"content": '{"name": "add", "arguments": {"a": 2, "b": 3}}'}
        return {"content": "I would rather talk."}

    with authored(stubborn) as server:
        llm = RocmLLM(model=server.url)
        for response in await each_way(llm, tool_required=True):
            [call] = llm.get_tool_calls_from_response(response)
            assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 2, "b": 3})
            assert response.message.content == "I would rather talk."
            assert response.raw["finish_reason"] == "tool_calls"
        first, second, *_ = sent(server)
        assert first["tool_choice"] == "required" and "response_format" not in first
        assert "anyOf" in second["response_format"]["json_schema"]["schema"]
        assert second["chat_template_kwargs"] == {"enable_thinking": False}
        assert len(sent(server)) == 8


def test_a_model_that_talks_all_the_same_is_an_error(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    script(server, chat(say("I would rather talk.")))
    with pytest.raises(InvalidAnswer, match="just talked"):
        scripted_llm.chat_with_tools(TOOLS, "Go.", tool_required=True)
    assert len(sent(server)) == 2
