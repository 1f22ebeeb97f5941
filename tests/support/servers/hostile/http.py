"""Answers that are wrong, or only unusual, on the level of HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from rocm_core.errors import (
    AuthenticationError,
    ClientError,
    EndpointNotFound,
    GenerationError,
    HTTPStatusError,
    InvalidRequest,
    ProtocolError,
    RequestTimeout,
    RocmError,
    ServerBusy,
    ServerUnreachable,
    StreamInterrupted,
)
from tests.support.servers.fake_server import RESET, STALL, Reply, Step
from tests.support.servers.hostile import TEXT, Case, drip, raw
from tests.support.servers.hostile.streams import HELLO, WHOLE

OK = b"HTTP/1.1 200 OK\r\n"
STREAM = b"Content-Type: text/event-stream\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(WHOLE)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Who?</body></html>"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_RIGHT: dict[str, bytes] = {
    "until the end": OK + STREAM + b"\r\n" + WHOLE,
    "with a length": OK + STREAM + LENGTH + b"\r\n" + WHOLE,
    "in chunks": OK + STREAM + CHUNKED + b"\r\n" + _chunk(WHOLE) + b"0\r\n\r\n",
    "in chunks without the last": OK + STREAM + CHUNKED + b"\r\n" + _chunk(WHOLE),
    "a chunk's extension": OK + CHUNKED + b"\r\n" + _chunk(WHOLE).replace(b"\r", b";a=1\r", 1),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + WHOLE,
    "no reason": b"HTTP/1.1 200\r\n\r\n" + WHOLE,
    "an empty reason": b"HTTP/1.1 200 \r\n\r\n" + WHOLE,
    "status 201": b"HTTP/1.1 201 Created\r\n\r\n" + WHOLE,
    "no headers": OK + b"\r\n" + WHOLE,
    "one 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n" + WHOLE,
    "a thousand 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + OK + b"\r\n" + WHOLE,
    "103 with links": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"\r\n" + WHOLE,
    "a length twice": OK + LENGTH + LENGTH + b"\r\n" + WHOLE,
    "more than its length": OK + LENGTH + b"\r\n" + WHOLE + b"more",
    "a header of 8 kB": OK + b"X: " + b"x" * 8000 + b"\r\n\r\n" + WHOLE,
    "a hundred headers": OK + b"X: x\r\n" * 100 + b"\r\n" + WHOLE,
    "bytes that are no ASCII": OK + "X-Name: Zoë\r\n\r\n".encode("latin-1") + WHOLE,
    "an unknown charset": OK + b"Content-Type: text/event-stream; charset=zz\r\n\r\n" + WHOLE,
    "another content type": OK + b"Content-Type: text/plain\r\n\r\n" + WHOLE,
    "identity": OK + b"Content-Encoding: identity\r\n\r\n" + WHOLE,
    "names in other letters": OK + b"CONTENT-LENGTH: %d\r\n\r\n" % len(WHOLE) + WHOLE,
}
_WRONG: dict[str, tuple[bytes, tuple[type[RocmError], ...]]] = {
    "nothing": (b"", (ServerUnreachable,)),
    "half a status line": (b"HTTP/1.1 2", (ServerUnreachable,)),
    "half a head": (OK + b"Content-", (ServerUnreachable,)),
    "another protocol": (b"SSH-2.0-x\r\n\r\n", (ServerUnreachable,)),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", (ServerUnreachable,)),
    "HTTP/0.9": (WHOLE, (ServerUnreachable,)),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", (ServerUnreachable,)),
    "a status in words": (b"HTTP/1.1 abc OK\r\n\r\n", (ServerUnreachable,)),
    "a status with a sign": (b"HTTP/1.1 +200 OK\r\n\r\n" + WHOLE, (ServerUnreachable,)),
    "status 0": (b"HTTP/1.1 000 OK\r\n\r\n", (ServerUnreachable,)),
    "status 99999": (b"HTTP/1.1 99999 OK\r\n\r\n", (ServerUnreachable,)),
    "a switch of protocols": (b"HTTP/1.1 101 Switching\r\n\r\n" + WHOLE, (ServerUnreachable,)),
    "a line without a colon": (OK + b"rubbish\r\n\r\n" + WHOLE, (ServerUnreachable,)),
    "a negative length": (OK + b"Content-Length: -1\r\n\r\n", (ServerUnreachable,)),
    "a length in words": (OK + b"Content-Length: x\r\n\r\n", (ServerUnreachable,)),
    "a length with a line": (OK + b"Content-Length: 1_0\r\n\r\n", (ServerUnreachable,)),
    "two lengths": (OK + b"Content-Length: 3\r\n" + LENGTH + b"\r\n" + WHOLE, (ClientError,)),
    "packed chunks": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", (ServerUnreachable,)),
    "a head without an end": (OK + b"X: " + b"x" * 70_000, (ServerUnreachable,)),
    "a head of 100 kB": (OK + b"X: " + b"x" * 100_000 + b"\r\n\r\n", (ServerUnreachable,)),
    "a length of 0": (OK + b"Content-Length: 0\r\n\r\n", (StreamInterrupted,)),
    "a length too short": (OK + b"Content-Length: 40\r\n\r\n" + WHOLE, (StreamInterrupted,)),
    "a length too long": (OK + b"Content-Length: 90\r\n\r\n" + HELLO, (StreamInterrupted,)),
    "a chunk's size in words": (OK + CHUNKED + b"\r\nzz\r\n", (ClientError,)),
    "a chunk's size with a sign": (OK + CHUNKED + b"\r\n-5\r\n", (ClientError,)),
    "a chunk without a size": (OK + CHUNKED + b"\r\n" + b"1" * 2000, (ClientError,)),
    "half a chunk": (OK + CHUNKED + b"\r\n" + _chunk(HELLO)[:-9], (StreamInterrupted,)),
    "the last chunk too early": (OK + CHUNKED + b"\r\n0\r\n\r\n" + WHOLE, (StreamInterrupted,)),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", (StreamInterrupted,)),
}
_STATUS: dict[int, tuple[type[RocmError], str]] = {
    300: (HTTPStatusError, "300"),
    304: (HTTPStatusError, "304"),
    400: (InvalidRequest, "400"),
    401: (AuthenticationError, "api_key"),
    402: (HTTPStatusError, "402"),
    403: (AuthenticationError, "api_key"),
    404: (EndpointNotFound, "base URL"),
    405: (HTTPStatusError, "405"),
    408: (HTTPStatusError, "408"),
    413: (HTTPStatusError, "413"),
    418: (HTTPStatusError, "418"),
    429: (ServerBusy, "again"),
    499: (HTTPStatusError, "499"),
    500: (GenerationError, "500"),
    502: (HTTPStatusError, "502"),
    503: (ServerBusy, "again"),
    504: (HTTPStatusError, "504"),
    599: (HTTPStatusError, "599"),
    999: (HTTPStatusError, "999"),
}
_BODIES = {
    "no body": b"",
    "a page": PAGE,
    "a text": b'"no"',
    "null": b"null",
    "a list": b"[1]",
    "an error of null": b'{"error": null}',
    "a code in words": b'{"error": {"code": "x", "type": 7, "message": ["no"]}}',
    "half a text": b'{"error": "\xff\xfe',
}
_REDIRECTS = {
    "to another host": b"http://127.0.0.1:9/v1",
    "to https": b"https://127.0.0.1:9/v1/chat/completions",
    "to a path": b"/login?next=secret",
    "to itself": b"/v1/chat/completions",
    "with a password": b"http://me:secret@127.0.0.1:9/",
    "to nothing": b"",
}


def _status(code: int, body: bytes, *fields: bytes) -> Reply:
    head = b"HTTP/1.1 %d Reason\r\n%b" % (code, b"".join(field + b"\r\n" for field in fields))
    return raw(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))


def _unhurried() -> Iterator[Case]:
    pings: list[Step] = [b": ping\n\n", 0.02] * 400
    heartbeats: list[Step] = [b"data: {}\n\n", 0.02] * 400
    slow: dict[str, list[Step]] = {
        "a head without an end": [OK, *drip(b"X: x\r\n" * 200)],
        "a status line byte by byte": drip(OK * 20),
        "100 Continue without an end": [b"HTTP/1.1 100 C\r\n\r\n", 0.02] * 400,
        "pings without an end": [OK + b"\r\n", *pings],
        "heartbeats without an end": [OK + b"\r\n", *heartbeats],
        "an event byte by byte": [OK + b"\r\n", *drip(WHOLE * 9)],
        "silence at once": [STALL],
        "silence after the head": [OK + b"\r\n", STALL],
        "silence after a piece": [OK + b"\r\n" + HELLO, STALL],
        "chunks byte by byte": [OK + CHUNKED + b"\r\n", *drip(_chunk(b": x\n\n") * 80)],
        "a plain answer byte by byte": [OK + b"\r\n", *drip(b'{"choices": [' + b" " * 400)],
    }
    for name, steps in slow.items():
        yield Case(name, Reply(before=steps), raises=(RequestTimeout,), slow=True)
    for code, cls in ((500, GenerationError), (503, ServerBusy), (404, EndpointNotFound)):
        head = b"HTTP/1.1 %d Reason\r\nContent-Length: 9000\r\n\r\nno" % code
        reply = Reply(before=[head, *drip(b" " * 400)])
        yield Case(f"the error {code} byte by byte", reply, raises=(cls,), slow=True)


def cases() -> Iterator[tuple[str, list[Case]]]:
    """The cases by their kind."""
    yield "right", [Case(name, raw(data), TEXT) for name, data in _RIGHT.items()]
    whole = [OK + b"\r\n", *[bytes([byte]) for byte in WHOLE]]
    yield "byte by byte", [Case("byte by byte", raw(*whole), TEXT)]
    yield "wrong", [Case(n, raw(data), raises=errors) for n, (data, errors) in _WRONG.items()]
    yield (
        "broken off",
        [
            Case("before", Reply(before=[RESET]), raises=(ServerUnreachable,)),
            Case("in the head", Reply(before=[OK, RESET]), raises=(ServerUnreachable,)),
            Case("after it", Reply(before=[OK + b"\r\n", RESET]), raises=(StreamInterrupted,)),
            Case(
                "after a piece",
                Reply(before=[OK + b"\r\n" + HELLO, 0.05, RESET]),
                raises=(StreamInterrupted,),
            ),
        ],
    )
    yield (
        "status",
        [
            Case(f"{code}, {name}", _status(code, body), raises=(cls,))
            for code, (cls, _) in _STATUS.items()
            for name, body in _BODIES.items()
        ],
    )
    yield (
        "status in words",
        [
            Case(str(code), _status(code, b"no"), raises=(cls,), words=word)
            for code, (cls, word) in _STATUS.items()
        ],
    )
    yield (
        "redirects",
        [
            Case(
                f"{code} {name}",
                _status(code, b"moved", b"Location: " + to),
                raises=(HTTPStatusError,),
                words="redirects to",
            )
            for code in (301, 302, 303, 307, 308)
            for name, to in _REDIRECTS.items()
        ],
    )
    html = b"Content-Type: text/html; charset=utf-8"
    nowhere = _status(302, b"moved", b"Location: http://[::")
    yield "redirect to no URL", [Case("302", nowhere, raises=(ClientError,), words="location")]
    yield (
        "pages",
        [
            Case("a login page", _status(200, PAGE, html), raises=(ProtocolError,), words="Log in"),
            Case("of no type", _status(200, PAGE), raises=(ProtocolError,), words="Log in"),
            Case(
                "on lines", _status(200, PAGE.replace(b"<", b"\n<"), html), raises=(ProtocolError,)
            ),
            Case("without title", _status(200, b"<p>Hi</p>", html), raises=(ProtocolError,)),
            Case(
                "as an error", _status(502, PAGE, html), raises=(HTTPStatusError,), words="Log in"
            ),
        ],
    )
    yield "unhurried", list(_unhurried())
