"""A call passes what llama-server knows and refuses what would be lost."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import langchain_rocm
from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import GenerateConfig
from rocm_core.errors import ConfigError, ServerUnreachable
from rocm_core.requests import CHAT_FIELDS, GENERATION_FIELDS

# Nothing listens there: what is refused is refused before anything is sent.
NOWHERE = "http://127.0.0.1:9"


def chat(**options: Any) -> object:
    return ChatRocm(base_url=NOWHERE, max_retries=0).invoke("x", **options)


def stream(**options: Any) -> object:
    return list(ChatRocm(base_url=NOWHERE, max_retries=0).stream("x", **options))


def text(**options: Any) -> object:
    return langchain_rocm.RocmLLM(base_url=NOWHERE, max_retries=0).invoke("x", **options)


def complete(**options: Any) -> object:
    return RocmLLM(base_url=NOWHERE).complete("x", **options)


def raw(**options: Any) -> object:
    return RocmLLM(base_url=NOWHERE).complete("x", True, **options)


def stream_complete(**options: Any) -> object:
    return list(RocmLLM(base_url=NOWHERE).stream_complete("x", **options))


EVERY = (chat, stream, text, complete, raw, stream_complete)


@pytest.mark.parametrize("call", EVERY, ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_predict": 3}, "num_predict is max_tokens here"),
        ({"max_tokns": 3}, "Did you mean 'max_tokens'"),
        ({"format": "json"}, "response_format"),
        ({"num_ctx": 1}, "is context_len here. It is given when the model is made, not to a call"),
        ({"options": {"num_ctx": 1, "num_predict": 2}}, "num_ctx is context_len here"),
        ({"options": {"num_ctx": 1, "num_predict": 2}}, "num_predict is max_tokens here"),
        ({"context_len": 4096}, "context_len belongs to the model, not to a call"),
        ({"gpu_layers": 1}, "gpu_layers belongs to the model"),
        ({"keep_alive": "5m"}, "keep_alive belongs to the model"),
        ({"connect_timeout": 1}, "connect_timeout belongs to the model"),
        ({"user": "me"}, "It is not needed here: llama-server keeps no account of users."),
        ({"frobnicate": 1}, "extra_body={'frobnicate': …}"),
    ],
)
def test_what_would_be_lost_is_refused_with_a_hint(
    call: Callable[..., object], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        call(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize("call", EVERY, ids=lambda call: call.__name__)
@pytest.mark.parametrize("options", [{"n": 2}, {"n_cmpl": 2}, {"extra_body": {"n": 2}}])
def test_several_answers_would_come_mixed_and_are_refused(
    call: Callable[..., object], options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="one answer per call"):
        call(**options)


@pytest.mark.parametrize("call", EVERY, ids=lambda call: call.__name__)
def test_one_answer_may_be_asked_for(call: Callable[..., object]) -> None:
    with pytest.raises(ServerUnreachable):
        call(n=1)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (text, "tools"),
        (text, "tool_choice"),
        (text, "chat_template_kwargs"),
        (raw, "chat_template_kwargs"),
        (raw, "reasoning_effort"),
    ],
)
def test_a_raw_prompt_takes_nothing_that_shapes_a_chat(
    call: Callable[..., object], name: str
) -> None:
    with pytest.raises(ConfigError, match="this prompt is sent as it is"):
        call(**{name: "x"})


def test_a_raw_prompt_does_not_think() -> None:
    with pytest.raises(ConfigError, match="reasoning needs the chat template"):
        raw(reasoning=True)


@pytest.mark.parametrize("cls", [ChatRocm, RocmLLM])
def test_every_field_that_the_server_knows_passes(cls: Any) -> None:
    llm = cls(base_url=NOWHERE)
    for name in GENERATION_FIELDS | CHAT_FIELDS:
        assert llm.generate_config({name: "x"})[1].get(name) or name == "json_schema"
    assert llm.generate_config({"json_schema": {"type": "object"}})[0].json_schema


@pytest.mark.parametrize("cls", [ChatRocm, langchain_rocm.RocmLLM])
def test_what_langchain_passes_for_itself_is_not_sent(cls: Any) -> None:
    given = {"stream": True, "stream_usage": True, "strict": True, "ls_anything": {"a": 1}}
    assert cls(base_url=NOWHERE).generate_config({**given, "seed": 1})[1] == {}


def test_what_llama_index_passes_for_itself_is_not_sent() -> None:
    headers = {"anthropic-beta": "prompt-caching-2024-07-31"}
    given = {"strict": True, "extra_headers": headers}
    assert RocmLLM(base_url=NOWHERE).generate_config(given)[1] == {}
    with pytest.raises(ConfigError, match="headers=…"):
        complete(extra_headers={"X-Tenant": "7"})


@pytest.mark.parametrize("cls", [ChatRocm, langchain_rocm.RocmLLM, RocmLLM])
def test_extra_body_is_sent_whatever_is_in_it(cls: Any) -> None:
    llm = cls(base_url=NOWHERE, extra_body={"new_field": 1, "other": 1, "top_k": 5})
    config, fields = llm.generate_config({"extra_body": {"other": 2}, "seed": 3})
    assert fields == {"new_field": 1, "other": 2}
    assert (config.top_k, config.seed) == (5, 3)
    assert llm.generate_config({"top_k": 7})[0].top_k == 7, "an option of the call wins"


def test_none_counts_as_not_given() -> None:
    config, fields = ChatRocm(base_url=NOWHERE).generate_config({"whatever": None})
    assert (config.seed, fields) == (None, {})


def test_an_empty_stop_text_is_left_out_and_said() -> None:
    with pytest.warns(UserWarning, match="empty text"):
        assert GenerateConfig(stop=["", "x"]).stop == ("x",)
    with pytest.warns(UserWarning, match="empty text"):
        assert ChatRocm(base_url=NOWHERE).generate_config({"stop": [""]})[0].stop == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GenerateConfig(stop=["x"]).stop == ("x",)
