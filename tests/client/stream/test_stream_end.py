"""The end marker of a stream: what comes before it is not whole, what comes after is not read."""

from __future__ import annotations

import pytest

from rocm_core.client.stream.events import StreamDecoder
from rocm_core.errors import GenerationError, StreamInterrupted
from tests.support.recorded_streams import DONE, FAILED, WHOLE, event, read, text_event
from tests.support.servers.fake_server import capture


def end_of(data: bytes) -> int:
    """The offset at which a captured stream is complete."""
    if b"[DONE]" in data:
        return data.index(b"[DONE]") + len(b"[DONE]")
    return data.rindex(b"}") + 1


def places(data: bytes) -> list[int]:
    """Many offsets: every seventh, and all near the end."""
    return [*range(0, len(data) - 60, 7), *range(len(data) - 60, len(data) + 1)]


@pytest.mark.parametrize("name", WHOLE)
def test_stream_cut_off_anywhere_before_its_end_marker_is_interrupted(name: str) -> None:
    data = capture(name)
    end = end_of(data)
    events, _ = read([data])

    for at in places(data):
        cut_events, error = read([data[:at]])
        assert cut_events == events[: len(cut_events)]
        assert (type(error) is StreamInterrupted) == (at < end), f"cut off at {at}: {error!r}"


@pytest.mark.parametrize("name", FAILED)
def test_failing_stream_cut_off_anywhere_never_succeeds(name: str) -> None:
    data = capture(name)
    end = data.index(b'"server_error"}') + len(b'"server_error"}}')

    for at in places(data):
        _, error = read([data[:at]])
        expected = (StreamInterrupted, GenerationError) if at < end else GenerationError
        assert isinstance(error, expected), f"cut off at {at}: {error!r}"


def test_nothing_after_the_end_marker_is_read() -> None:
    decoder = StreamDecoder()

    assert [each.text for each in decoder.feed(text_event("a") + DONE + b"data: rubbish\n\n")] == [
        "a"
    ]
    assert decoder.ended
    assert list(decoder.feed(text_event("b"))) == []
    assert list(decoder.close()) == []


def test_native_stream_ends_with_its_stop_event() -> None:
    decoder = StreamDecoder()

    list(decoder.feed(event({"content": "a", "stop": False})))
    assert not decoder.ended
    list(decoder.feed(event({"content": "", "stop": True, "stop_type": "eos"})))
    assert decoder.ended


def test_finish_reason_alone_is_no_end_marker() -> None:
    finish = event({"choices": [{"delta": {}, "finish_reason": "stop"}]})

    events, error = read([text_event("a"), finish])

    assert [each.finish_reason for each in events] == [None, "stop"]
    assert type(error) is StreamInterrupted


@pytest.mark.parametrize("body", [b"", b"\n\n", b": ping\n\n", b"<html>Welcome</html>"])
def test_answer_without_events_is_interrupted(body: bytes) -> None:
    events, error = read([body])

    assert events == []
    assert type(error) is StreamInterrupted
    assert "incomplete" in str(error)
