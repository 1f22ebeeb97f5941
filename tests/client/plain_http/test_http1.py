"""The HTTP/1.1 reader: every way to delimit a body, split anywhere; nothing believed blindly."""

from __future__ import annotations

from typing import Any

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocm_core.client.plain_http.http1 import ResponseReader

BODY = b"data: {}\n\ndata: [DONE]\n\n"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A:  b \r\n\r\n"
    b"a\r\ndata: {}\n\n\r\nE;ext=1\r\ndata: [DONE]\n\n\r\n0\r\nTrailer: x\r\n\r\n"
)
BY_LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\n" + BODY
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + BY_LENGTH
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
WHOLE = {"chunked": CHUNKED, "length": BY_LENGTH, "close": UNTIL_CLOSE, "interim": INTERIM}


def read(pieces: list[bytes]) -> tuple[ResponseReader, bytes]:
    reader, body = ResponseReader(), b""
    for piece in pieces:
        body += reader.feed(piece)
    return reader, body


@pytest.mark.parametrize("name", WHOLE)
def test_a_response_cut_in_two_anywhere_reads_the_same(name: str) -> None:
    data = WHOLE[name]
    for at in range(len(data) + 1):
        reader, body = read([data[:at], data[at:]])
        assert (reader.status, body) == (200, BODY), at
        assert reader.ended is (name != "close")
        reader.close()
        assert reader.ended


@pytest.mark.parametrize("name", WHOLE)
def test_a_response_byte_by_byte_reads_the_same(name: str) -> None:
    assert read([bytes([byte]) for byte in WHOLE[name]])[1] == BODY


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=12), st.integers(1, 64))
def test_chunked_bodies_of_any_shape_split_anyhow(chunks: list[bytes], step: int) -> None:
    frames = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    data = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + b"".join(frames) + b"0\r\n\r\n"
    )
    reader, body = read([data[at : at + step] for at in range(0, len(data), step)])
    assert body == b"".join(chunks)
    assert reader.ended


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_it_agrees_with_h11(data: bytes) -> None:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("host", "x")])
    connection.send(request)
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    events: list[Any] = []
    while not events or not isinstance(events[-1], h11.EndOfMessage):
        events.append(connection.next_event())
    theirs = b"".join(bytes(event.data) for event in events if isinstance(event, h11.Data))
    head = next(event for event in events if isinstance(event, h11.Response))
    reader, ours = read([data])
    assert ours == theirs
    assert [(name.lower(), value) for name, value in reader.headers] == list(head.headers)


def test_no_content_ends_at_once() -> None:
    reader, body = read([EMPTY])
    assert reader.ended
    assert body == b""


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 200", CHUNKED[:-1], CHUNKED[:80], BY_LENGTH[:-1]],
    ids=["nothing", "half a head", "no last chunk", "half a chunk", "short body"],
)
def test_a_connection_that_ends_too_early_is_an_error(data: bytes) -> None:
    reader, _ = read([data] if data else [])
    with pytest.raises(httpx.RemoteProtocolError, match="hung up"):
        reader.close()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70000,
    ],
)
def test_what_is_no_http_is_refused(data: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        read([data])


@given(st.lists(st.binary(max_size=300)), st.sampled_from([b"", CHUNKED[:60], BY_LENGTH[:30]]))
def test_arbitrary_bytes_raise_nothing_else(pieces: list[bytes], start: bytes) -> None:
    reader = ResponseReader()
    try:
        for piece in [start, *pieces]:
            reader.feed(piece)
        reader.close()
    except httpx.RemoteProtocolError:
        pass
