"""StreamDecoder: failures that a server reports inside a stream, and streams that are damaged."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rocm_core.client.stream.events import StreamDecoder, read_event
from rocm_core.errors import (
    AuthenticationError,
    ContextOverflow,
    GenerationError,
    HTTPStatusError,
    NotSupported,
    ProtocolError,
    RocmError,
    ServerBusy,
    ServerLoading,
)
from rocm_core.types import StreamEvent
from tests.support.recorded_streams import DONE, FAILED, event, read, text_event
from tests.support.servers.fake_server import capture
from tests.support.servers.hostile.chunks import FIELDS, with_value

unhurried = settings(deadline=None)


# -- failures inside a stream ---------------------------------------------------------------


@pytest.mark.parametrize("name", FAILED)
def test_failure_comes_after_the_text_before_it(name: str) -> None:
    events, error = read([capture(name)])

    assert "".join(each.text for each in events) == FAILED[name]
    assert type(error) is GenerationError
    assert error.status == 500
    assert error.type == "server_error"
    assert error.message == "Context size has been exceeded."


ERRORS = [
    ({"code": 500, "message": "bad", "type": "server_error"}, GenerationError),
    ({"code": 503, "message": "Loading model", "type": "unavailable_error"}, ServerLoading),
    ({"code": 503, "message": "no slot available", "type": "unavailable_error"}, ServerBusy),
    ({"code": 401, "message": "Invalid API Key", "type": "authentication_error"},
     AuthenticationError),
    ({"code": 501, "message": "no", "type": "not_supported_error"}, NotSupported),
    ({"message": "without code or type"}, GenerationError),
    ({"code": 400, "message": "too long", "type": "exceed_context_size_error",
      "n_prompt_tokens": 9, "n_ctx": 8}, ContextOverflow),
]  # fmt: skip


@pytest.mark.parametrize(("report", "cls"), ERRORS)
@pytest.mark.parametrize("dialect", ["data", "error"])
def test_failure_has_the_class_of_the_same_http_error(
    dialect: str, report: dict[str, object], cls: type[HTTPStatusError]
) -> None:
    body = json.dumps({"error": report} if dialect == "data" else report)

    events, error = read([text_event("a"), f"{dialect}: {body}\n\n".encode()])

    assert [each.text for each in events] == ["a"]
    assert type(error) is cls
    assert error.message == report["message"]


@pytest.mark.parametrize("line", ['data: {"error": "no luck"}', "error: no luck"])
def test_failure_may_be_a_plain_string(line: str) -> None:
    _, error = read([line.encode() + b"\n\n"])

    assert type(error) is GenerationError
    assert error.message == "no luck"


# -- damaged streams ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"rubbish",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"choices":[1]}',
        b'{"choices":{"0":1}}',
        b'{"choices":[{"delta":{"content":7}}]}',
        b'{"choices":[{"delta":{"tool_calls":[1]}}]}',
        b'{"choices":[{"text":["a"]}]}',
        b'{"choices":[{"index":-3,"delta":{"content":"a"}}]}',
        b'{"index":-1,"content":"a","stop":false}',
        b'{"content":null,"stop":true}',
        b'{"content":"","stop":true,"stop_type":[]}',
        b'{"choices":[],"usage":[1]}',
        b'{"choices":[],"timings":{"prompt_n":"many"}}',
        b'{"choices":[],"timings":{"prompt_n":1e999}}',
        b'{"choices":[],"timings":{"prompt_ms":' + b"9" * 400 + b"}}",
        b'{"content":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_payload_of_an_unknown_shape_is_a_protocol_error(payload: bytes) -> None:
    events, error = read([text_event("a"), b"data: " + payload + b"\n\n", DONE])

    assert [each.text for each in events] == ["a"]
    assert type(error) is ProtocolError
    assert len(str(error)) < 1000


def test_failure_of_an_absurd_shape_is_still_a_failure() -> None:
    nested = b"[" * 1000 + b"]" * 1000

    _, error = read([b'data: {"error":{"message":' + nested + b"}}\n\n"])

    assert type(error) is GenerationError


def test_invalid_utf8_is_replaced() -> None:
    events, error = read([b'data: {"content":"a\xff\xe2\x82","stop":true}\n\n'])

    assert error is None
    assert events[0].text == "a\ufffd\ufffd"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = [
    "error", "choices", "delta", "content", "reasoning_content", "tool_calls", "index", "id",
    "function", "name", "arguments", "text", "finish_reason", "logprobs", "usage", "timings",
    "prompt_n", "prompt_ms", "cache_n", "prompt_tokens_details", "cached_tokens", "stop",
    "stop_type", "tokens", "tokens_predicted", "tokens_evaluated", "completion_probabilities",
    "code", "type", "message", "n_ctx", "model",
]  # fmt: skip
STREAM_LIKE = st.recursive(
    JSON,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=5)
    ),
    max_leaves=15,
)


@unhurried
@given(st.dictionaries(st.sampled_from(NAMES), STREAM_LIKE, max_size=6))
@example({"choices": [{"delta": {"content": "", "tool_calls": [{"function": []}]}}]})
@example({"choices": [], "timings": {"prompt_n": float("inf")}})
@example(
    {"error": {"message": f"({'9' * 5000} tokens) exceeds the available context size (1 tokens)"}}
)
def test_arbitrary_objects_raise_nothing_but_our_errors(raw: dict[str, object]) -> None:
    with contextlib.suppress(RocmError):
        assert type(read_event(raw).text) is str


@unhurried
@given(st.lists(JSON | STREAM_LIKE, min_size=1, max_size=4))
def test_arbitrary_json_never_passes_for_a_whole_answer(objects: list[object]) -> None:
    _, error = read(event(each) for each in objects)

    ends = any(isinstance(each, dict) and each.get("stop") is True for each in objects)
    assert ends or isinstance(error, (ProtocolError, HTTPStatusError))


@unhurried
@given(st.lists(st.binary() | st.sampled_from([b"data: ", b"error: ", b"{", b'{"content":"', b'"}',
                                               b"\n\n", b"[DONE]", text_event("a")])))  # fmt: skip
def test_arbitrary_bytes_raise_nothing_but_our_errors(pieces: list[bytes]) -> None:
    _, error = read(pieces)

    assert error is not None or b"[DONE]" in b"".join(pieces)


@unhurried
@given(st.sampled_from(sorted(FIELDS)), JSON | STREAM_LIKE)
@example("call index", [])
@example("logprob", "x")
@example("usage", {"prompt_tokens": "x"})
@example("content", "\ud83d")
def test_any_json_in_any_field_of_a_chunk(field: str, value: object) -> None:
    """There is an answer of the right types, or an error of ours."""
    events, error = read([with_value(field, value)])

    assert error is None or isinstance(error, RocmError)
    for each in events:
        assert_types(each)


def assert_types(event: StreamEvent) -> None:
    """What the adapters rely on."""
    for text in (event.text, event.reasoning):
        assert type(text) is str
        text.encode()
    for call in event.tool_calls:
        assert (type(call.index), type(call.arguments)) == (int, str)
        assert {type(call.id), type(call.name)} <= {str, type(None)}
    assert {int}.issuperset(map(type, event.token_ids))
    for text_or_none in (event.finish_reason, event.model, event.stop_word):
        assert text_or_none is None or type(text_or_none) is str
    if event.usage:
        assert type(event.usage.total_tokens) is type(event.usage.cached_tokens) is int
    for entry in event.logprobs or ():
        assert type(entry) is dict
    assert type(event.choice) is int


# -- more than one answer -----------------------------------------------------------------------


def piece(index: int, text: str) -> dict[str, object]:
    return {"index": index, "delta": {"content": text}}


def test_two_answers_are_kept_apart() -> None:
    first = event({"choices": [piece(0, "a"), piece(1, "x")]})
    events, error = read([first, event({"choices": [piece(1, "y")]}), text_event("b"), DONE])

    assert error is None
    said = ["".join(each.text for each in events if each.choice == n) for n in (0, 1)]
    assert said == ["ab", "xy"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_answer_that_was_not_asked_for_is_passed_over(order: tuple[int, int]) -> None:
    pieces = [piece(index, "ax"[index]) for index in order]
    decoder = StreamDecoder(answers=1)

    events = list(decoder.feed(event({"choices": pieces}) + text_event("b") + DONE))

    assert [each.text for each in events] == ["a", "b"]
    assert decoder.ended
