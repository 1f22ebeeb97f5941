"""Events become LlamaIndex responses: read from captured streams of real servers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)
from pydantic import BaseModel

from llama_index_rocm.conversion.quick import chat_response, completion_response, text_block
from llama_index_rocm.responses import Answer, ChatAnswer, CompletionAnswer, R, read_logprobs
from llama_index_rocm.streams import gather, responses
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.types import StreamEvent, Timings, Usage
from tests.support.servers.fake_server import CAPTURES

BOTH = pytest.mark.parametrize("kind", [ChatAnswer, CompletionAnswer])


def events(capture: str) -> list[StreamEvent]:
    decoder = StreamDecoder()
    body = (CAPTURES / f"{capture}.txt").read_bytes()
    return [*decoder.feed(body), *decoder.close()]


def stream(source: list[StreamEvent], answer: Answer[R]) -> list[R]:
    return list(responses((event for event in source), answer))


def whole(source: list[StreamEvent], answer: Answer[R]) -> R:
    return gather((event for event in source), answer)


def text(response: ChatResponse | CompletionResponse) -> str | None:
    return response.message.content if isinstance(response, ChatResponse) else response.text


# -- text -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("capture", ["chat_stream.b11434", "completion_stream.b11434"])
def test_deltas_add_up_to_the_text_of_each_response(kind: type[Any], capture: str) -> None:
    so_far = ""
    for response in stream(events(capture), kind()):
        assert response.delta is not None
        so_far += response.delta
        assert text(response) == so_far
    assert so_far == text(whole(events(capture), kind()))


@BOTH
def test_one_response_per_piece_and_one_at_the_end(kind: type[Any]) -> None:
    source = events("chat_stream.b11434")
    pieces = [event.text for event in source if event.text]
    assert [r.delta for r in stream(source, kind())] == [*pieces, ""]


@BOTH
def test_an_answer_without_text_is_an_empty_string(kind: type[Any]) -> None:
    source = [StreamEvent(raw={}, finish_reason="stop")]
    assert [text(r) for r in stream(source, kind())] == [""]
    assert text(whole(source, kind())) == ""


def test_a_call_that_does_not_stream_has_no_delta() -> None:
    assert whole(events("chat_stream.b11434"), ChatAnswer()).delta is None


def test_earlier_responses_keep_their_text() -> None:
    given = stream([StreamEvent("a"), StreamEvent("b")], ChatAnswer())
    assert [text(r) for r in given] == ["a", "ab", "ab"]


# -- facts ------------------------------------------------------------------------------------


@BOTH
def test_raw_of_a_piece_is_its_event(kind: type[Any]) -> None:
    source = events("chat_stream.b11434")
    first = next(event for event in source if event.text)
    assert stream(source, kind())[0].raw == first.raw


@BOTH
@pytest.mark.parametrize(
    ("capture", "prompt", "completion", "reason"),
    [("chat_stream.b11434", 21, 8, "stop"), ("completion_stream.b11434", 1, 6, "length")],
)
def test_facts_of_the_request_end_both_dialects(
    kind: type[Any], capture: str, prompt: int, completion: int, reason: str
) -> None:
    for last in (stream(events(capture), kind())[-1], whole(events(capture), kind())):
        assert last.raw["usage"]["prompt_tokens"] == prompt
        assert last.raw["usage"]["completion_tokens"] == completion
        assert last.raw["usage"]["total_tokens"] == prompt + completion
        assert last.raw["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
        assert last.raw["finish_reason"] == reason
        assert last.raw["timings"]["predicted_n"] == completion
        assert last.raw["timings"]["predicted_per_second"] > 0
        assert last.raw["model"] == "demo.gguf"


def test_facts_that_come_apart_are_put_together() -> None:
    source = [
        StreamEvent("Hi", {"n": 1}, finish_reason="stop", model="m"),
        StreamEvent(raw={"n": 2}, usage=Usage(3, 1, 2), timings=Timings(predicted_n=1)),
    ]
    given = stream(source, ChatAnswer())
    assert [r.delta for r in given] == ["Hi", ""]
    assert given[0].raw == {"n": 1}
    raw = given[-1].raw
    assert raw is not None
    assert raw["n"] == 2
    assert raw["finish_reason"] == "stop"
    assert raw["model"] == "m"
    assert raw["usage"]["total_tokens"] == 4
    assert raw["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert raw["timings"]["predicted_n"] == 1


def test_without_usage_there_is_none_in_raw() -> None:
    last = stream([StreamEvent("Hi", {}, finish_reason="stop")], ChatAnswer())[-1]
    assert last.raw == {"finish_reason": "stop"}


# -- reasoning --------------------------------------------------------------------------------


def test_reasoning_is_kept_apart_from_the_text_of_a_chat() -> None:
    source = events("chat_stream_reasoning.b11434")
    thoughts = "".join(event.reasoning for event in source)
    given = stream(source, ChatAnswer())
    assert thoughts
    assert "".join(r.additional_kwargs.get("thinking_delta", "") for r in given) == thoughts
    assert "".join(r.delta or "" for r in given) == "".join(event.text for event in source)
    for last in (given[-1], whole(source, ChatAnswer())):
        thinking, said = last.message.blocks
        assert isinstance(thinking, ThinkingBlock)
        assert thinking.content == thoughts
        assert isinstance(said, TextBlock)
        assert said.text == last.message.content


def test_thinking_block_grows_with_the_stream() -> None:
    source = [StreamEvent(reasoning="a"), StreamEvent(reasoning="b"), StreamEvent("c")]
    given = stream(source, ChatAnswer())
    blocks = [r.message.blocks[0] for r in given]
    assert [b.content for b in blocks if isinstance(b, ThinkingBlock)] == ["a", "ab", "ab", "ab"]
    assert [r.message.content for r in given] == ["", "", "c", "c"]


def test_reasoning_of_a_completion() -> None:
    source = [StreamEvent(reasoning="a"), StreamEvent(reasoning="b"), StreamEvent("c")]
    given = stream(source, CompletionAnswer())
    assert [r.additional_kwargs.get("thinking_delta") for r in given] == ["a", "b", None, None]
    assert [r.delta for r in given] == ["", "", "c", ""]
    assert given[-1].additional_kwargs == {"thinking": "ab"}
    assert whole(source, CompletionAnswer()).additional_kwargs == {"thinking": "ab"}


# -- logprobs ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "capture", ["chat_stream_logprobs.b11434", "completion_stream_probs.b11434"]
)
def test_logprobs_ride_on_their_piece_and_are_whole_without_streaming(
    kind: type[Any], capture: str
) -> None:
    source = events(capture)
    given = [r for r in stream(source, kind()) if r.delta]
    assert len(given) > 1
    for response in given:
        assert response.logprobs is not None
        (token,) = response.logprobs
        assert token[0].token == response.delta
        assert token[0].bytes == list(response.delta.encode())
        assert [other.logprob for other in token] == [0.0, -40.0]
    complete = whole(source, kind()).logprobs
    assert complete is not None
    assert [token[0].token for token in complete] == [r.delta for r in given]


def test_no_logprobs_unless_the_server_sends_them() -> None:
    assert all(r.logprobs is None for r in stream(events("chat_stream.b11434"), ChatAnswer()))
    assert whole(events("chat_stream.b11434"), ChatAnswer()).logprobs is None


def test_logprobs_without_alternatives_or_as_probabilities() -> None:
    entries: list[dict[str, Any]] = [
        {"token": "a", "bytes": [97], "logprob": -0.5},
        {"token": "b", "bytes": [98], "prob": 0.25, "top_probs": [{"token": "c", "prob": 0.0}]},
    ]
    assert read_logprobs(entries) == [
        [LogProb(token="a", logprob=-0.5, bytes=[97])],
        [
            LogProb(token="b", logprob=math.log(0.25), bytes=[98]),
            LogProb(token="c", logprob=-math.inf, bytes=[99]),
        ],
    ]


# ---------------------------------------------------------------------------
# The object per token
# ---------------------------------------------------------------------------


def _quick_and_constructed() -> list[tuple[BaseModel, BaseModel]]:
    blocks: list[Any] = [ThinkingBlock(content="hm"), text_block("a b")]
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
    return [
        (text_block("a"), TextBlock(text="a")),
        (
            chat_response(" b", {"id": 1}, blocks),
            ChatResponse(message=message, delta=" b", raw={"id": 1}),
        ),
        (
            completion_response("a b", " b", {"id": 1}),
            CompletionResponse(text="a b", delta=" b", raw={"id": 1}),
        ),
    ]


@pytest.mark.parametrize("number", range(3))
def test_the_quick_response_equals_a_constructed_one(number: int) -> None:
    """If LlamaIndex gives its responses new fields, this is the test that says so."""
    quick, slow = _quick_and_constructed()[number]
    assert quick == slow
    assert quick.__getstate__() == slow.__getstate__()
    assert quick.model_dump() == slow.model_dump()
    assert repr(quick) == repr(slow)
    if isinstance(quick, ChatResponse) and isinstance(slow, ChatResponse):
        assert quick.message.__getstate__() == slow.message.__getstate__()


def test_quick_responses_share_nothing() -> None:
    one, other = (chat_response("a", {}, [text_block("a")]) for _ in range(2))
    one.additional_kwargs["x"] = one.message.additional_kwargs["x"] = 1
    one.message.blocks.append(TextBlock(text="b"))
    one.logprobs = []
    fresh = chat_response("a", {}, [text_block("a")])
    assert other.__getstate__() == fresh.__getstate__()
    assert other.message.__getstate__() == fresh.message.__getstate__()
    assert "logprobs" not in other.model_fields_set
