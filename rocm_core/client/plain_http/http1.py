"""Read one HTTP/1.1 response from bytes, for connections that carry one request. Sans-IO.

    bytes of the connection, split anywhere
      → head    status and headers; interim 1xx responses are passed over
      → body    by chunks, by length, or until the connection ends (RFC 9112, section 6.3)

Why not h11, which httpx uses: it costs more per streamed chunk than everything else we do for
it together (``benchmarks/``). This reads only what a client of llama-server meets: no
pipelining, no upgrades, no trailers kept.
"""

from __future__ import annotations

from rocm_core.client.plain_http.httpx_import import httpx

_MAX_HEAD = 65536
_MAX_SIZE_LINE = 1024
_LINE_END = 2
_HEX_DIGITS = b"0123456789abcdefABCDEF"


class ResponseReader:
    """Takes the bytes of a connection and returns those of the body.

    Attributes:
        begun: the head is complete, ``status`` and ``headers`` are set.
        ended: the body is complete.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.begun = False
        self.ended = False
        self._buffer = b""
        self._chunked = False
        self._in_trailer = False
        # Bytes still to come: of the body, or of the current chunk with its line end.
        self._left: int | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the connection, and return those of the body (possibly none).

        Raises:
            httpx.RemoteProtocolError: this is not HTTP/1.1.
        """
        if not self.begun:
            data = self._head(self._buffer + data)
            if not self.begun:
                return b""
        if self._chunked:
            return self._chunks(data)
        if self._left is None:
            return data
        body = data[: self._left]
        self._left -= len(body)
        self.ended = self._left == 0
        return body

    def close(self) -> None:
        """Take the end of the connection.

        Raises:
            httpx.RemoteProtocolError: the response has not ended yet.
        """
        if not self.begun:
            raise httpx.RemoteProtocolError("the server hung up without an answer")
        if not self.ended and (self._chunked or self._left is not None):
            raise httpx.RemoteProtocolError("the server hung up in the middle of the answer")
        self.ended = True

    def _head(self, data: bytes) -> bytes:
        while True:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end or len(head) > _MAX_HEAD:
                if len(head) > _MAX_HEAD:
                    raise httpx.RemoteProtocolError("the head of the answer is too long")
                self._buffer = data
                return b""
            self._buffer = b""
            try:
                final = self._read_head(head)
            except ValueError as error:
                line = head.partition(b"\r\n")[0]
                what = f"this is not HTTP/1.1 ({error}): {line[:80]!r}"
                raise httpx.RemoteProtocolError(what) from error
            if final:
                self.begun = True
                return rest
            data = rest

    def _read_head(self, head: bytes) -> bool:
        """Read a head, and return whether it is that of the answer, no interim one."""
        line, *fields = head.split(b"\r\n")
        version, code = line.split(b" ", 2)[:2]
        self.status = _decimal(code)
        if not version.startswith(b"HTTP/1.") or not 100 <= self.status <= 999:
            raise ValueError("no status line")
        if self.status == 101:
            raise ValueError("it switches to another protocol")
        if self.status < 200:
            return False
        self.headers = [_field(field) for field in fields]
        self._delimit([(name.lower(), value) for name, value in self.headers])
        return True

    def _delimit(self, headers: list[tuple[bytes, bytes]]) -> None:
        codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        lengths = {value for name, value in headers if name == b"content-length"}
        if self.status in (204, 304):
            self.ended = True
        elif codings == [b"chunked"]:
            self._chunked, self._left = True, 0
        elif codings and codings != [b"identity"]:
            raise ValueError("unknown transfer-encoding")
        elif len(lengths) > 1:
            raise ValueError("two lengths")
        elif lengths:
            self._left = _decimal(lengths.pop())
            self.ended = self._left == 0

    def _chunks(self, data: bytes) -> bytes:
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        body: list[bytes] = []
        at, total = 0, len(data)
        while at < total and not self.ended:
            left = self._left or 0
            if left > _LINE_END:
                body.append(data[at : at + left - _LINE_END])
                step = len(body[-1])
            elif left:
                step = min(left, total - at)
            else:
                step = self._size_line(data, at)
                if not step:
                    break
                at += step
                continue
            at += step
            self._left = left - step
        return body[0] if len(body) == 1 else b"".join(body)

    def _size_line(self, data: bytes, at: int) -> int:
        """Read the line at ``at``, and return its length with its end, 0 if it is incomplete."""
        end = data.find(b"\r\n", at)
        if end < 0:
            self._buffer = data[at:]
            if len(self._buffer) > _MAX_SIZE_LINE:
                raise httpx.RemoteProtocolError("a chunk of the answer has no size")
            return 0
        line = data[at:end]
        if self._in_trailer:
            self.ended = not line
        else:
            digits = line.partition(b";")[0].strip(b" ")
            if not digits or digits.strip(_HEX_DIGITS):
                raise httpx.RemoteProtocolError(f"not a chunk size: {line[:40]!r}")
            size = int(digits, 16)
            self._in_trailer = size == 0
            self._left = size + _LINE_END if size else 0
        return end + _LINE_END - at


def _decimal(digits: bytes) -> int:
    if not digits.isdigit():  # int() takes signs and underscores, too
        raise ValueError("no number")
    return int(digits)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, value = line.split(b":", 1)
    return name, value.strip(b" \t")


def request_bytes(request: httpx.Request) -> bytes:
    """Return head and body of a request, to be sent in one piece."""
    head = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [b"%b: %b" % field for field in request.headers.raw]
    return b"\r\n".join([*head, b"", request.content])
