"""Thinking and the date on the chat templates of published models: each option changes the prompt,
or it is said once that it cannot. Which templates those are is said in ``tests/README.md``.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

from rocm_core import Chat, GenerateConfig, TextModel
from rocm_core.client import calls, run_steps
from rocm_core.errors import ConfigError, HTTPStatusError
from rocm_core.requests import dated, reasoning_fields
from tests.support.histories import TOOLS, calling, result
from tests.support.models.reciter import PIECES

pytestmark = pytest.mark.slow
ASK = [{"role": "user", "content": "Hi"}]
# What turns thinking off where enable_thinking, which every template is passed, does not.
SWITCHES: dict[str, Any] = {
    "ByteDance-Seed-OSS": {"thinking_budget": 0},
    "Kimi-K3": {"thinking": False},
    "MiniMax-M3": {"thinking_mode": "disabled"},
    "NVIDIA-Nemotron-Nano-v2": "/no_think",
    "ibm-granite-granite-3.3-2B-Instruct": {"thinking": False},
    "tencent-Hy3": {"reasoning_effort": "no_think"},
    "upstage-Solar-Open-100B": {"reasoning_effort": "minimal"},
}
# Templates that read enable_thinking.
ENABLED = {
    *("Apertus-8B-Instruct", "GLM-4.6", "GLM-4.7-Flash", "Qwen-QwQ-32B", "Qwen-Qwen3-0.6B"),
    *("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "Qwen3.5-4B", "Spark2.5", "openbmb-MiniCPM5-1B"),
    *("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai-DeepSeek-V3.1"),
    *("deepseek-ai-DeepSeek-V3.2", "deepseek-ai-DeepSeek-V4", "poolside-Laguna-S-2.1"),
    *("google-gemma-4-31B-it-interleaved", "poolside-Laguna-XS.2"),
}
SWITCHED = ENABLED | SWITCHES.keys()
# No switch, and the prompt opens the thoughts: the request closes them.
OPENED = {"MiniMax-M2", "StepFun3.5-Flash", "llama-cpp-deepseek-r1"}
# No switch, and the thoughts are the model's own doing: it is said that they cannot be turned off.
UNSTOPPED = {
    *("Apriel-1.6-15b-Thinker-fixed", "Kimi-K2-Thinking", "LFM2.5-8B-A1B", "LFM2.5-Instruct"),
    *("mistralai-Ministral-3-14B-Reasoning-2512", "openai-gpt-oss-120b", "unsloth-Apriel-1.5"),
}
EFFORTS = {
    "Kimi-K3": ("low", "high"),
    "openai-gpt-oss-120b": ("low", "medium", "high"),
    "tencent-Hy3": ("low", "high"),
    "upstage-Solar-Open-100B": ("low", "high"),
}
# They read the clock themselves and print its date in a system message of their own.
CLOCKS = {
    *("Apertus-8B-Instruct", "Mistral-Small-3.2-24B-Instruct-2506", "openai-gpt-oss-120b"),
    *("ibm-granite-granite-3.3-2B-Instruct", "upstage-Solar-Open-100B"),
}
DATED = {"meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct"}


def sent(model: TextModel, fields: dict[str, Any], messages: Any = ASK) -> tuple[Any, Any]:
    """The messages and fields that reach the server."""
    assert model.props
    steps = model.template.with_variables(messages, fields, None, model.props)
    read: tuple[Any, Any] = run_steps(steps, model.connection.client.call)
    return read


def prompt(model: TextModel, fields: dict[str, Any], messages: Any = ASK) -> str:
    """The prompt of a request."""
    messages, fields = sent(model, fields, messages)
    text: str = model.connection.client.call(calls.apply_template(messages, **fields))
    return text


def test_the_switch_is_the_one_that_changes_the_prompt(published: TextModel, name: str) -> None:
    on, off = (prompt(published, reasoning_fields(choice)) for choice in (True, False))
    assert (on != off) is (name in SWITCHED)
    messages, fields = sent(published, reasoning_fields(False))
    expected = SWITCHES.get(name, {})
    if isinstance(expected, str):
        assert messages[0] == {"role": "system", "content": expected}
        expected = {}
    else:
        assert fields["chat_template_kwargs"] == {"enable_thinking": False, **expected}
    # Without a switch the thoughts are ended, by as many tokens as the prompt has behind its mark.
    budget = None if name in SWITCHED else int(name in OPENED)
    assert fields.get("reasoning_budget_tokens") == budget
    facts = published.template.thinking()
    assert facts.switchable is (name in SWITCHED)
    assert facts.efforts == EFFORTS.get(name, ())
    assert facts.thinks or not {name} & {*SWITCHED, *OPENED, *EFFORTS}


@pytest.mark.parametrize("more", [{}, {"tools": TOOLS}], ids=["system", "tools"])
def test_a_switch_works_beside_other_things_or_it_is_said(
    published: TextModel, name: str, more: dict[str, Any]
) -> None:
    history = ASK if more else [{"role": "system", "content": "system-1"}, *ASK]
    published.template._variables = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        on, off = (
            prompt(published, reasoning_fields(choice) | more, history) for choice in (True, False)
        )
    silent = "ibm-granite-granite-3.3-2B-Instruct"
    assert (on != off) is (name in SWITCHED and name != silent)
    assert any("with a system message" in str(each.message) for each in said) is (name == silent)


def test_what_cannot_be_turned_off_is_said_once(published: TextModel, name: str) -> None:
    published.template._variables = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            sent(published, reasoning_fields(False))
    assert [str(each.message)[:16] for each in said] == ["reasoning=False:"] * (name in UNSTOPPED)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            sent(published, reasoning_fields("low"))
    expected = () if name in EFFORTS else ("reasoning='low' ",)
    assert tuple(str(each.message)[:16] for each in said) == expected


@pytest.mark.parametrize("fields", [reasoning_fields(None, 0), reasoning_fields(False)])
def test_no_thought_is_generated(published: TextModel, name: str, fields: dict[str, Any]) -> None:
    if name in {"openai-gpt-oss-120b", "meetkai-functionary-medium-v3.2"}:
        return  # the reciter's words are no answer in this template's format
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = list(published.events(Chat(ASK, GenerateConfig(max_tokens=40), fields)))
    thoughts = "".join(event.reasoning for event in events)
    # One template writes a sentence about the budget into the thoughts that it closes.
    assert (PIECES[0] in thoughts) is (name == "Apriel-1.6-15b-Thinker-fixed")
    assert (PIECES[0] in "".join(event.text for event in events)) is (PIECES[0] not in thoughts)


def test_thoughts_sent_back_are_shown_or_it_is_said(
    published: TextModel, caplog: pytest.LogCaptureFixture
) -> None:
    history = [*ASK, {"role": "assistant", "content": "A", "reasoning_content": "thought-1"}, *ASK]
    published.template._variables = None
    with caplog.at_level(logging.INFO, "rocm_core.model"):
        shown = ["thought-1" in prompt(published, {}, history) for _ in range(2)]
    assert [*shown, *(["said"] if caplog.records else [])] in ([True, True], [False, False, "said"])
    assert len(caplog.records) <= 1


@pytest.mark.parametrize("loop", [False, True])
def test_a_text_with_thoughts_beside_it_is_shown(published: TextModel, loop: bool) -> None:
    told = {"role": "assistant", "content": "beside-1", "reasoning_content": "thought-1"}
    history = [*ASK, told, *ASK]
    if loop:
        called = calling("a", beside="beside-1") | {"reasoning_content": "thought-1"}
        history = [*ASK, called, result("a")]
    try:
        fitted = published.template.fit(history)
    except ConfigError:
        return  # it has no place for calls
    assert "beside-1" in prompt(published, {}, fitted)


def test_the_date_is_the_given_one_or_it_is_said(published: TextModel, name: str) -> None:
    client = published.connection.client
    one, other = (
        client.call(calls.apply_template(ASK, **dated({}, day)))
        for day in ("2001-02-03", "2004-05-06")
    )
    assert ("03 Feb 2001" in one and "06 May 2004" in other) is (name in DATED)
    assert (one != other) is (name in DATED)
    request = Chat(ASK, GenerateConfig(max_tokens=1, template_date="2001-02-03"))
    published.template._variables = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            try:
                list(published.events(request))
            except HTTPStatusError as error:  # of its parser, for the reciter's words
                assert "format" in str(error)
    words = [str(each.message) for each in said if "template_date" in str(each.message)]
    assert len(words) == (name in CLOCKS)
