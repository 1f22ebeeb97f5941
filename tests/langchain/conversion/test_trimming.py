"""Histories that memory has cut, and counting the pieces of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)

from langchain_rocm import ChatRocm
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.templates import template_names, template_text

HISTORY: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("How warm is it in Rome and in Oslo?"),
    AIMessage(
        "I look it up.",
        tool_calls=[
            {"name": "weather", "args": {"city": "Rome"}, "id": "call_rome"},
            {"name": "weather", "args": {"city": "Oslo"}, "id": "call_oslo"},
        ],
    ),
    ToolMessage(
        [{"type": "text", "text": "25"}, {"type": "text", "text": "°C"}], tool_call_id="call_rome"
    ),
    ToolMessage("12 °C", tool_call_id="call_oslo"),
    AIMessage("25 and 12 degrees."),
    HumanMessage("And in Bern?"),
    AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Bern"}, "id": "call_bern"}]),
    ToolMessage("18 °C", tool_call_id="call_bern"),
]
# Refuses ids, orders of roles, and text beside a call; wants a user; needs all calls in one turn.
TEMPLATES = [
    *["mistralai-Mistral-Nemo-Instruct-2407", "Qwen3.5-4B", "meta-llama-Llama-3.1-8B-Instruct"],
    *["openai-gpt-oss-120b", "LFM2-8B-A1B"],
]


@pytest.fixture(params=[None, *TEMPLATES])
def chat(engine: Engine, request: pytest.FixtureRequest) -> Iterator[ChatRocm]:
    """A model with its own template, or with a published one."""
    name: str | None = request.param
    if name and name not in template_names():
        pytest.skip("no chat templates here: see tests/README.md")
    template = template_text(name) if name else None
    chat = ChatRocm(model=str(RECITER), engine=engine, chat_template=template, max_tokens=1)
    yield chat
    chat.close()


def test_every_piece_of_a_history_is_counted(chat: ChatRocm) -> None:
    ends = range(1, len(HISTORY) + 1)
    counts = [chat.get_num_tokens_from_messages(HISTORY[:end]) for end in ends]
    assert all(count > 0 for count in counts)
    rests = [chat.get_num_tokens_from_messages(HISTORY[begin:]) for begin in range(1, 9)]
    assert all(count > 0 for count in rests)


@pytest.mark.parametrize("strategy", ["first", "last"])
def test_a_history_is_trimmed_to_any_size(
    chat: ChatRocm, strategy: Literal["first", "last"]
) -> None:
    whole = chat.get_num_tokens_from_messages(HISTORY)
    last = strategy == "last"
    for size in range(20, whole, 50):
        kept = trim_messages(
            HISTORY, max_tokens=size, token_counter=chat, strategy=strategy, include_system=last
        )
        assert len(kept) < len(HISTORY)
        assert len(kept) <= last or chat.get_num_tokens_from_messages(kept) <= size
    assert trim_messages(HISTORY, max_tokens=whole, token_counter=chat) == HISTORY


def test_what_is_counted_is_what_is_sent(chat: ChatRocm) -> None:
    if "<|channel|>" in (chat.chat_template or ""):
        pytest.skip("its format is read strictly, and the reciter does not speak it")
    for kept in (HISTORY, HISTORY[:4], [HISTORY[0], *HISTORY[5:7]], HISTORY[5:7], HISTORY[:1]):
        usage = chat.invoke(kept).usage_metadata
        assert usage is not None
        assert usage["input_tokens"] == chat.get_num_tokens_from_messages(kept)
