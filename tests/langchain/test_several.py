"""Several answers of one call (``n``), and what an option that is not given is worth."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage

import llama_index_rocm
from langchain_rocm import ChatRocm, RocmLLM, errors
from rocm_core import GenerateConfig, load_model
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, ProtocolError
from rocm_core.types import StreamEvent
from tests.support.servers.fake_server import FakeServer

HI: list[BaseMessage] = [HumanMessage("Hello")]


@pytest.fixture(scope="module")
def chat(engine: Engine) -> Any:
    with_two = ChatRocm(model="demo", engine=engine, max_tokens=4, temperature=0)
    yield with_two
    with_two.close()


def checked(generations: Any) -> None:
    first, second = generations
    assert first.text == second.text == "Hello! I am"
    for each in (first, second):
        assert each.message.usage_metadata["output_tokens"] == 4
        assert each.message.response_metadata["finish_reason"] == "length"


async def test_generate_has_every_answer_with_its_own_facts(chat: ChatRocm) -> None:
    checked(chat.generate([HI], n=2).generations[0])
    checked((await chat.agenerate([HI], n=2)).generations[0])


async def test_raw_completions_are_several_too(engine: Engine) -> None:
    llm = RocmLLM(model="demo", engine=engine, max_tokens=3, n=2, n_probs=1, temperature=0)
    for result in (llm.generate(["Hello", "World"]), await llm.agenerate(["Hello", "World"])):
        assert [len(answers) for answers in result.generations] == [2, 2]
        for found in (one for answers in result.generations for one in answers):
            assert found.generation_info is not None
            assert found.generation_info["usage"]["output_tokens"] == 3
            assert len(found.generation_info["logprobs"]["content"]) == 3
    llm.close()


def test_the_native_stream_ends_with_its_last_answer(engine: Engine) -> None:
    with load_model("demo", engine=engine) as model:
        events = list(model.completion_events("Hello", GenerateConfig(max_tokens=3, n=2)))
    ends = sorted(event.choice for event in events if event.finish_reason)
    assert ends == [0, 1]


@pytest.mark.parametrize("way", ["invoke", "batch", "stream"])
def test_what_returns_one_answer_refuses_several(way: str) -> None:
    chat = ChatRocm(base_url="http://127.0.0.1:9", n=2)
    given: Any = ["Hi"] if way == "batch" else "Hi"
    with pytest.raises(errors.ConfigError, match=r"one answer per call.*generate\(\)"):
        list(getattr(chat, way)(given))


def test_a_second_request_is_of_one_answer() -> None:
    chat = ChatRocm(base_url="http://127.0.0.1:9", n=2)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    other = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
    with pytest.raises(errors.ConfigError, match="one answer per call where a tool"):
        chat.generate([HI], tools=[tool, other], tool_choice="any")


@pytest.mark.parametrize("wanted", [0, -1, "two", True])
def test_a_number_of_answers_is_a_number(wanted: Any) -> None:
    chat = ChatRocm(base_url="http://127.0.0.1:9")
    with pytest.raises(errors.ConfigError, match="whole number of at least 1"):
        chat.generate([HI], n=wanted)


def test_an_answer_that_nobody_asked_for_is_an_error() -> None:
    from langchain_rocm.streaming.chunks import ChatChunks
    from langchain_rocm.streaming.several import SeveralAnswers

    answers: Any = SeveralAnswers(2, lambda: ChatChunks("m"))
    with pytest.raises(ProtocolError, match="answer 4 of 2"):
        answers.read(StreamEvent(text="x", choice=3))


def test_pieces_of_answers_beyond_those_asked_for_are_passed_over() -> None:
    decoder = StreamDecoder(answers=2)
    lines = b"".join(
        b'data: {"choices": [{"index": %d, "delta": {"content": "x"}}]}\n\n' % n for n in range(4)
    )
    assert [event.choice for event in decoder.feed(lines)] == [0, 1]


# -- the server's own values -----------------------------------------------------------------------


async def test_the_servers_defaults_are_told(chat: ChatRocm) -> None:
    found = chat.get_server_defaults()
    assert found == await chat.aget_server_defaults()
    assert (found["top_p"], found["top_k"]) == (0.95, 40)
    assert found["n_ctx"] == chat.profile["max_input_tokens"]  # type: ignore[index]


def test_a_server_without_props_has_none_to_tell() -> None:
    with FakeServer() as server:
        for model, kind in (
            (ChatRocm(base_url=server.url), errors.ConfigError),
            (llama_index_rocm.RocmLLM(base_url=server.url), ConfigError),
        ):
            with pytest.raises(kind, match="does not tell its defaults"):
                model.get_server_defaults()


# -- fields that were reached through extra_body ---------------------------------------------------


def test_an_answer_goes_on_after_its_beginning(chat: ChatRocm) -> None:
    begun: Any = [("human", "Hello"), ("ai", "Hello! I am")]
    assert chat.invoke(begun, continue_final_message=True).text == " the llama-rocm"


def test_probabilities_without_the_flag(chat: ChatRocm) -> None:
    answer = chat.invoke("Hello", n_probs=2)
    entries = answer.response_metadata["logprobs"]["content"]
    assert [len(entry["top_logprobs"]) for entry in entries] == [2] * 4


def test_both_engines_take_every_new_field(chat: ChatRocm) -> None:
    given: Any = {
        **{"adaptive_target": 0.5, "adaptive_decay": 0.9, "samplers": ["top_k", "adaptive_p"]},
        **{"t_max_predict_ms": 60_000, "n_indent": 0, "backend_sampling": False, "n_discard": 0},
        **{"n_cache_reuse": 0, "post_sampling_probs": True, "n_probs": 1, "return_tokens": True},
        **{"timings_per_token": True, "return_progress": True, "sse_ping_interval": 5},
        **{"reasoning_format": "none", "reasoning_control": False},
        **{"reasoning_budget_message": "", "add_generation_prompt": True},
    }
    answer = chat.invoke("Hello", **given)
    assert answer.usage_metadata is not None and answer.usage_metadata["output_tokens"] == 4
    assert "top_probs" in answer.response_metadata["logprobs"]["content"][0]
