"""Framing: the same payloads however the bytes of a stream are cut into pieces."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rocm_core.client.stream.framing import DONE, Framing
from tests.support.servers.fake_server import capture, captured_streams

# The streams of the second engine differ in ids and times only; one engine is enough here.
STREAMS = [name for name in captured_streams() if not name.endswith(".x11549")]
NEWLINES = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}
BOM = b"\xef\xbb\xbf"

unhurried = settings(deadline=None)


def framed(pieces: Iterable[bytes]) -> list[bytes]:
    framing = Framing()
    payloads = [payload for piece in pieces for payload in framing.feed(piece)]
    return payloads + framing.close()


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    ends = sorted({at % (len(data) + 1) for at in cuts} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def payloads_of(body: bytes) -> list[bytes]:
    """What a captured stream holds, read the simple way: it has one line per payload."""
    payloads = []
    for line in body.split(b"\n"):
        name, _, value = line.partition(b": ")
        if name == b"data":
            payloads.append(value)
        elif name == b"error":
            payloads.append(b'{"error":' + value + b"}")
    return payloads


# -- captured streams -----------------------------------------------------------------------


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("name", STREAMS)
def test_captured_stream_gives_its_payloads_for_a_cut_at_every_offset(
    name: str, newline: str
) -> None:
    body = capture(name)
    expected = payloads_of(body)
    data = body.replace(b"\n", NEWLINES[newline])

    assert len(expected) >= 3
    for at in range(len(data) + 1):
        assert framed([data[:at], data[at:]]) == expected, f"cut at {at}"


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("name", STREAMS)
def test_captured_stream_gives_its_payloads_byte_by_byte(name: str, newline: str) -> None:
    body = capture(name)
    data = body.replace(b"\n", NEWLINES[newline])

    assert framed(data[at : at + 1] for at in range(len(data))) == payloads_of(body)


@unhurried
@given(
    name=st.sampled_from(STREAMS),
    newline=st.sampled_from(list(NEWLINES.values())),
    cuts=st.lists(st.integers(0, 10_000), max_size=60),
)
def test_captured_stream_gives_its_payloads_for_any_cuts(
    name: str, newline: bytes, cuts: list[int]
) -> None:
    body = capture(name)

    assert framed(cut(body.replace(b"\n", newline), cuts)) == payloads_of(body)


def test_payloads_come_with_the_piece_that_completes_them() -> None:
    framing = Framing()

    assert framing.feed(b'data: {"a":1}\n') == []
    assert framing.feed(b"\n") == [b'{"a":1}']
    assert framing.feed(b"data: [DONE]\n\n") == [DONE]
    assert framing.close() == []


# -- the event stream grammar ---------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12).map(str.encode)


@st.composite
def written_events(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream as some server may write it, and the payloads it stands for."""
    newline = draw(st.sampled_from(list(NEWLINES.values())))
    lines: list[bytes] = []
    payloads: list[bytes] = []
    for data in draw(st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1, max_size=5)):
        for line in data:
            lines += draw(st.lists(st.sampled_from([b": ping", b":", b"id: 7", b"event: message"])))
            spaced = line.startswith(b" ") or draw(st.booleans())
            lines.append(b"data: " + line if spaced else b"data:" + line)
        lines += [b""] * draw(st.integers(1, 3))
        payloads.append(b"\n".join(data))
    start = draw(st.sampled_from([b"", BOM, b":" + newline + newline]))
    return start + b"".join(line + newline for line in lines), payloads


@unhurried
@given(written_events(), st.lists(st.integers(0, 500), max_size=20))
def test_any_way_of_writing_events_gives_their_payloads(
    written: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    data, payloads = written

    assert framed(cut(data, cuts)) == payloads
    assert framed([data]) == payloads


@pytest.mark.parametrize(
    ("data", "payloads"),
    [
        pytest.param(b"data:{}\n\n", [b"{}"], id="no space after the colon"),
        pytest.param(b"data:  {}\n\n", [b" {}"], id="one space is dropped"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="data lines are joined"),
        pytest.param(b"data: a\ndata\ndata: b\n\n", [b"a\n\nb"], id="a bare field name"),
        pytest.param(b"data: a\n: ping\ndata: b\n\n", [b"a\nb"], id="a comment inside an event"),
        pytest.param(b":\n\n:\n\ndata: a\n\n", [b"a"], id="pings before the first event"),
        pytest.param(b"event: error\ndata: a\nid: 1\nretry: 5\n\n", [b"a"], id="other fields"),
        pytest.param(b"database: a\n\n", [b"database: a"], id="a longer field name"),
        pytest.param(b" data: a\n\n", [b" data: a"], id="an indented field name"),
        pytest.param(BOM + b"data: a\n\n", [b"a"], id="a byte order mark at the start"),
        pytest.param(
            b"data: a\n\n" + BOM + b"data: b\n\n",
            [b"a", BOM + b"data: b"],
            id="a later one is no mark",
        ),
        pytest.param(b"data: a\n\ndata: b", [b"a", b"b"], id="the end completes an event"),
        pytest.param(b"data: a\r\rdata: b\r\n\ndata: c\n\r\n", [b"a", b"b", b"c"], id="mixed ends"),
        pytest.param(b"data: a\rdata: b\n\n", [b"a\nb"], id="CR between data lines"),
        pytest.param(b"data: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"], id="blank lines"),
        pytest.param(b"data: a\n\n{}\n\ndata: b\n\n", [b"a", b"{}", b"b"], id="late JSON line"),
        pytest.param(b"data: data: \n\n", [b"data: "], id="a payload like a field"),
        pytest.param("data: \u2028é\x85\x0b\n\n".encode(), ["\u2028é\x85\x0b".encode()], id="LS"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_grammar_of_the_event_stream(data: bytes, payloads: list[bytes]) -> None:
    assert framed(data[at : at + 1] for at in range(len(data))) == payloads
    for at in range(len(data) + 1):
        assert framed([data[:at], data[at:]]) == payloads, f"cut at {at}"


def test_error_line_of_the_old_dialect_becomes_an_error_object() -> None:
    [payload] = framed([b'error: {"code":500,"message":"no"}\n\n'])

    assert json.loads(payload) == {"error": {"code": 500, "message": "no"}}


@pytest.mark.parametrize("value", ["no luck", 'say "no"', "", "\\", "Zürich"])
def test_error_line_with_plain_text_becomes_an_error_object(value: str) -> None:
    [payload] = framed([f"error: {value}\n\n".encode()])

    assert json.loads(payload) == {"error": value}


# -- NDJSON ---------------------------------------------------------------------------------


@unhurried
@given(
    objects=st.lists(st.dictionaries(st.text(), st.text() | st.integers()), min_size=1),
    newline=st.sampled_from([b"\n", b"\r\n"]),
    start=st.sampled_from([b"", BOM, b"\n\n", b"  "]),
    last=st.booleans(),
    cuts=st.lists(st.integers(0, 500), max_size=20),
)
def test_lines_of_json_are_recognized_by_their_first_line(
    objects: list[dict[str, object]], newline: bytes, start: bytes, last: bool, cuts: list[int]
) -> None:
    data = start + newline.join(json.dumps(each).encode() for each in objects)
    data += newline if last else b""

    assert [json.loads(payload) for payload in framed(cut(data, cuts))] == objects


def test_json_inside_an_event_stream_does_not_switch_to_json_lines() -> None:
    assert framed([b': ping\n\ndata: {"a":1}\n\n{"b":2}\n\ndata: {}\n\n']) == [
        b'{"a":1}',
        b'{"b":2}',
        b"{}",
    ]


# -- limits ---------------------------------------------------------------------------------


def test_long_line_in_small_pieces_takes_linear_time() -> None:
    size, step = 5_000_000, 64
    data = b"data: " + b"x" * size + b"\n\n"
    start = time.process_time()

    payloads = framed(data[at : at + step] for at in range(0, len(data), step))

    assert payloads == [b"x" * size]
    # Copying the line anew for each piece would move 195 GB.
    assert time.process_time() - start < 8


BITS = [b"data", b"error", b":", b" ", b"\n", b"\r", b"\r\n", BOM, b"{", b"}", b"x", b"\xff"]
STREAM_LIKE = st.lists(st.sampled_from([*BITS, b"data: ", b"\n\n", b"data: x\n\n", b""]))


@unhurried
@given(st.lists(st.binary()) | STREAM_LIKE)
def test_arbitrary_bytes_raise_nothing_and_their_cuts_do_not_matter(pieces: list[bytes]) -> None:
    data = b"".join(pieces)

    whole = framed([data])

    assert framed(pieces) == whole
    assert framed(data[at : at + 1] for at in range(len(data))) == whole


@pytest.mark.parametrize("damaged", [b"da\xff\x00: {}", b"\x00ata: {}", b"dbta: x", b"x-field: 1"])
def test_a_field_that_no_server_sends_is_passed_on_and_not_ignored(damaged: bytes) -> None:
    framing = Framing()
    assert framing.feed(b"data: 1\n\n" + damaged + b"\n\ndata: 2\n\n") == [b"1", damaged, b"2"]


@pytest.mark.parametrize("fine", [b": ping", b"event: x", b"retry: 5", b"id"])
def test_fields_that_are_not_for_us_are_ignored(fine: bytes) -> None:
    framing = Framing()
    assert framing.feed(b"data: 1\n\n" + fine + b"\n\ndata: 2\n\n") == [b"1", b"2"]
