"""Histories that the chat templates of published models refuse or show in part."""

from __future__ import annotations

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock

from llama_index_rocm import RocmLLM
from rocm_core.config import Engine
from rocm_core.errors import ConfigError
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.templates import template_names, template_text


def calling(*cities: str) -> ChatMessage:
    """An answer that calls a tool for each city."""
    blocks = [
        ToolCallBlock(tool_call_id=f"call_{city}", tool_name="weather", tool_kwargs={"city": city})
        for city in cities
    ]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)


def result(city: str) -> ChatMessage:
    """What the tool said, in two blocks."""
    blocks = [TextBlock(text=city), TextBlock(text="18 °C")]
    more = {"tool_call_id": f"call_{city}"}
    return ChatMessage(role=MessageRole.TOOL, blocks=blocks, additional_kwargs=more)


ASKED = ChatMessage("How warm is it in Rome and in Oslo?", role=MessageRole.USER)
PARALLEL = [ASKED, calling("Rome", "Oslo"), result("Rome"), result("Oslo")]
HISTORIES = {
    "parallel calls": PARALLEL,
    "the user after a result": [*PARALLEL, ChatMessage("And in Bern?", role=MessageRole.USER)],
    "a memory that begins with an answer": [
        ChatMessage("Hello", role=MessageRole.ASSISTANT),
        *PARALLEL,
    ],
    "a system message alone": [ChatMessage("Say hello.", role=MessageRole.SYSTEM)],
}


def llm_with(engine: Engine, template: str) -> RocmLLM:
    """A model with a published template."""
    if template not in template_names():
        pytest.skip("no chat templates here: see tests/README.md")
    return RocmLLM(model=str(RECITER), engine=engine, chat_template=template_text(template))


@pytest.mark.parametrize(
    "template",
    [
        "mistralai-Mistral-Nemo-Instruct-2407",  # refused ids of calls, and the orders of roles
        "Mistral-Small-3.2-24B-Instruct-2506",
        "meta-llama-Llama-3.1-8B-Instruct",  # refused two calls in one turn
    ],
)
async def test_a_history_that_the_template_refuses_is_answered(
    engine: Engine, template: str
) -> None:
    llm = llm_with(engine, template)
    for history in HISTORIES.values():
        assert llm.chat(history).message.content == ANSWER
        assert (await llm.achat(history)).message.content == ANSWER
    llm.close()


def test_calls_without_a_place_in_the_template_are_refused(engine: Engine) -> None:
    llm = llm_with(engine, "microsoft-Phi-3.5-mini-instruct")
    with pytest.raises(ConfigError, match="no place for results of tools.*chat_template="):
        llm.chat(PARALLEL)
    llm.close()
