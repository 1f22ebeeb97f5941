"""The rule about unbroken runs, on our side alone: no engine gets any of these texts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from rocm_core import Chat, Completion, GenerateConfig, Infill, TextModel, load_model
from rocm_core.errors import ConfigError
from rocm_core.requests import refuse_long_runs, refuse_long_runs_in_messages
from rocm_core.requests.long_runs import LONGEST_RUN, long_run

RUN = "x" * (LONGEST_RUN + 1)
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize("before", [0, 1, 9_999, 10_000, 10_001, 25_000])
@pytest.mark.parametrize("after", ["", " ", "\nand more"])
def test_a_run_is_found_wherever_it_is(before: int, after: str) -> None:
    text = "a " * (before // 2) + " " * (before % 2)
    assert long_run(text + RUN + after) == (before, LONGEST_RUN + 1)
    assert long_run(text + RUN[1:] + after) is None


def test_its_whole_length_is_told() -> None:
    assert long_run("b" * 30_000 + " " + "c" * 50_000) == (0, 30_000)


def test_prose_without_spaces_has_breaks() -> None:
    assert long_run("あいうえお、かきくけこ。" * 5_000) is None


def test_the_message_names_the_text() -> None:
    with pytest.raises(ConfigError, match=r"documents\[1\] has 10,001 .* 3 on \('xx.*Remove"):
        refuse_long_runs(["fine", "a  " + RUN], "documents")


def test_looking_for_runs_costs_less_than_the_request() -> None:
    text = "The quick brown fox jumps. " * 40_000
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert long_run(text) is None
        took.append(time.perf_counter() - began)
    assert min(took) < 0.005  # 0.2 ms a megabyte, on a quiet machine


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": RUN},
        {"role": "user", "content": [{"type": "text", "text": RUN}]},
        {"role": "assistant", "content": "", "reasoning_content": RUN},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": RUN}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": RUN}}}]},
        {"role": "assistant", "tool_calls": [{"function": {"arguments": {"a": [{"b": RUN}]}}}]},
    ],
)
def test_every_text_of_a_message_counts(message: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"messages\[1\] has 10,001"):
        refuse_long_runs_in_messages([{"role": "user", "content": "Hi"}, message])


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tools": [{}, {"function": {"name": "f", "description": RUN}}]}, r"tools\[1\]"),
        (
            {"tools": [{"function": {"parameters": {"properties": {"a": {"enum": [RUN]}}}}}]},
            r"tools\[0\]",
        ),
        ({"chat_template_kwargs": {"documents": [{"text": RUN}]}}, "chat_template_kwargs"),
    ],
)
def test_what_else_a_template_shows_counts(
    model: TextModel, fields: dict[str, Any], name: str
) -> None:
    ask = [{"role": "user", "content": "Hi"}]
    with pytest.raises(ConfigError, match=f"{name} has 10,001.*allow_long_runs=True"):
        next(model.events(Chat(ask, GenerateConfig(), fields)))
    with pytest.raises(ConfigError, match=f"{name} has 10,001"):
        model.count_tokens(ask, **fields)


def test_images_are_no_text() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + RUN}}
    refuse_long_runs_in_messages([{"role": "user", "content": [part]}])


# Nobody listens at the address: what is refused is refused before anything is sent.


@pytest.fixture
def model() -> TextModel:
    return load_model(NOWHERE)


_VERBS: dict[str, Callable[[TextModel], Any]] = {
    "tokenize": lambda model: model.tokenize(RUN),
    "tokenize_batch": lambda model: model.tokenize_batch(["a", RUN]),
    "count_tokens": lambda model: model.count_tokens([{"role": "user", "content": RUN}]),
    "embed": lambda model: model.embed(["a", RUN]),
    "rerank": lambda model: model.rerank("a", ["a", RUN]),
    "query": lambda model: model.rerank(RUN, ["a"]),
    "chat": lambda model: list(model.chat([{"role": "user", "content": RUN}])),
    "generate": lambda model: list(model.generate(RUN)),
    "infill": lambda model: list(model.infill_events("a", RUN, GenerateConfig())),
}


@pytest.mark.parametrize("verb", _VERBS)
def test_no_verb_sends_such_a_run(model: TextModel, verb: str) -> None:
    with pytest.raises(ConfigError, match="characters without a break"):
        _VERBS[verb](model)


@pytest.mark.parametrize("verb", ["aembed", "arerank", "acount_tokens"])
async def test_nor_does_one_for_asyncio(model: TextModel, verb: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "aembed": (["a", RUN],),
        "arerank": ("a", [RUN]),
        "acount_tokens": ([{"role": "user", "content": RUN}],),
    }
    with pytest.raises(ConfigError, match="characters without a break"):
        await getattr(model, verb)(*arguments[verb])


def test_generation_names_the_way_out() -> None:
    from rocm_core.model.generation import _refuse_impossible

    for config in (GenerateConfig(), GenerateConfig(allow_long_runs=True)):
        chat = Chat([{"role": "user", "content": RUN}], config)
        for request in (chat, Completion(RUN, config), Infill(RUN, "", config)):
            if config.allow_long_runs:
                _refuse_impossible(request)
                continue
            with pytest.raises(ConfigError, match="allow_long_runs=True sends it"):
                _refuse_impossible(request)
    _refuse_impossible(Completion([1] * 20_000, GenerateConfig()))


def test_the_option_is_not_sent() -> None:
    config = GenerateConfig(allow_long_runs=True)
    assert "allow_long_runs" not in Chat([], config).openai(None).body
    assert "allow_long_runs" not in Completion("Hi", config).native().body
