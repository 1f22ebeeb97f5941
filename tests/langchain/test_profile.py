"""The profile, and the counting of tokens."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from langchain_rocm import ChatRocm, RocmLLM
from langchain_rocm.profile import LazyProfile, profile_of
from rocm_core.client.answers import read_props
from rocm_core.config import Engine
from rocm_core.types import ThinkingFacts
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, answer, capture
from tests.support.servers.scripts import authored


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_constructing_and_showing_asks_nobody() -> None:
    with FakeServer() as server:
        chat = ChatRocm(base_url=server.url)
        assert chat.profile
        assert "not read yet" in repr(chat.profile)
        copy.deepcopy(chat), pickle.loads(pickle.dumps(chat)), repr(chat), chat.asdict()
        assert server.requests == []


def test_it_is_read_from_the_server_when_it_is_looked_at(chat: ChatRocm, engine: Engine) -> None:
    fresh = ChatRocm(model=RECITER, engine=engine)
    assert fresh.profile is not None
    assert fresh.profile.get("max_input_tokens") == 8192
    assert fresh.profile["tool_calling"] is True
    assert fresh.profile["image_inputs"] is False
    assert "structured_output" in fresh.profile
    assert dict(fresh.profile.items()) == fresh.profile == chat.profile
    fresh.close()


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_have_a_profile_of_their_own(chat: ChatRocm, copied: Any) -> None:
    twin = copied(chat)
    assert isinstance(twin.profile, LazyProfile) and twin.profile is not chat.profile
    assert twin.profile["max_input_tokens"] == 8192
    twin.close()


def test_a_profile_of_ones_own_stays() -> None:
    chat = ChatRocm(model=RECITER, profile={"max_input_tokens": 5})
    assert chat.profile == {"max_input_tokens": 5}


def test_senses_and_thoughts_are_told() -> None:
    props = read_props(capture("props.b11434"))
    assert profile_of(props, "m", ThinkingFacts())["reasoning_output"] is False
    assert "reasoning_output" not in profile_of(props, "m")  # nobody has asked the template
    raw = dict(props.raw)
    raw["modalities"] = {"vision": True, "audio": True}
    raw["chat_template_caps"] = {"supports_tools": False}
    import orjson

    thinking = ThinkingFacts(thinks=True, switchable=False, efforts=("low", "high"))
    profile = profile_of(read_props(orjson.dumps(raw)), "m", thinking)
    assert profile["image_inputs"] and profile["audio_inputs"] and profile["reasoning_output"]
    assert not profile["tool_calling"]
    assert profile["reasoning_effort_levels"] == ["low", "high"]
    assert profile["max_input_tokens"] == 512


THINKER = """\
{#- reads no effort; the words think and reasoning prove nothing -#}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
EFFORTS = "{{ '<|im_start|>system\\neffort: ' + (reasoning_effort or 'low') + '<|im_end|>\\n' }}"


@pytest.mark.parametrize(
    ("template", "thinks", "efforts"),
    [
        (THINKER, False, None),
        (EFFORTS + THINKER, True, ["low", "medium", "high"]),
        ("{% set _ = reasoning_effort %}" + THINKER, False, None),
        (THINKER + "{% if add_generation_prompt %}<think>\n{% endif %}", True, None),
    ],
    ids=["words", "efforts", "unused effort", "opened"],
)
def test_reasoning_is_told_by_what_reaches_the_prompt(
    engine: Engine, template: str, thinks: bool, efforts: list[str] | None
) -> None:
    chat = ChatRocm(model=RECITER, engine=engine, chat_template=template)
    assert chat.profile is not None
    assert chat.profile["reasoning_output"] is thinks
    assert chat.profile.get("reasoning_effort_levels") == efforts
    chat.close()


# ---------------------------------------------------------------------------
# Counting
# ---------------------------------------------------------------------------

CONVERSATION = [
    SystemMessage("Be brief."),
    HumanMessage("Wie geht's in Zürich? 你好"),
    AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "c"}]),
    ToolMessage("3", tool_call_id="c"),
]


@pytest.mark.parametrize("tools", [None, [add]])
def test_counts_are_exact(chat: ChatRocm, tools: list[Any] | None) -> None:
    counted = chat.get_num_tokens_from_messages(CONVERSATION, tools)
    model = chat.bind_tools(tools) if tools else chat
    usage = model.invoke(CONVERSATION, max_tokens=1).usage_metadata
    assert usage is not None
    assert counted == usage["input_tokens"]


def test_tokens_of_text_are_the_models_own(chat: ChatRocm, engine: Engine) -> None:
    assert chat.get_token_ids("abc") == [97, 98, 99]
    assert chat.get_num_tokens("ü") == 2
    llm = RocmLLM(model=RECITER, engine=engine)
    assert llm.get_token_ids("abc") == [97, 98, 99]
    llm.close()
    own = ChatRocm(model=RECITER, custom_get_token_ids=lambda text: [1])
    assert own.get_token_ids("abc") == [1]


def test_counting_asks_the_server_once_and_nobody_else() -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        server.script("/v1/chat/completions/input_tokens", answer(b'{"input_tokens": 7}'))
        chat = ChatRocm(base_url=server.url)
        for _ in range(3):
            assert chat.get_num_tokens_from_messages([HumanMessage("Hi")], [add]) == 7
        [counted] = [r for r in server.requests if r.path.endswith("input_tokens")]
        assert counted.body["tools"][0]["function"]["name"] == "add"


def test_a_server_of_another_kind_has_no_facts() -> None:
    with authored(lambda body: {"content": "x"}, {"default_generation_settings": {}}) as server:
        assert "max_input_tokens" not in (ChatRocm(base_url=server.url).profile or {})
