"""Bytes of a stream in, payloads out: server-sent events or NDJSON, sans I/O.

    socket bytes, split anywhere
      → lines          LF, CRLF or CR; an unfinished line waits for the rest
      → SSE events     data lines joined, comments (pings) dropped, ended by an empty line
        or NDJSON      recognized by a first line that starts with ``{`` or ``"``
      → payloads       one ``bytes`` object per event: JSON, or ``[DONE]``

Everything stays bytes: line ends are ASCII, so a multi-byte character can be cut anywhere
without being decoded in halves. Nothing here knows HTTP, JSON or the meaning of a payload.

The grammar is the WHATWG "event stream" one, with two additions. Builds of llama-server
before September 2025 reported failures as an ``error: {json}`` line instead of
``data: {"error": {json}}`` (llama.cpp PR 16109); the former is rewritten to the latter. And a
line that is no field of the grammar is handed on as a payload instead of being ignored: it is
damage, which must not pass for a shorter answer.
"""

from __future__ import annotations

import json

DONE = b"[DONE]"
_IGNORED = (b"", b"event", b"id", b"retry")
_BOM = b"\xef\xbb\xbf"


class Framing:
    """Incremental decoder; takes bytes in any portions. There is no line limit.

    Attributes:
        ndjson: the payloads are lines of NDJSON; known with the first one.
    """

    def __init__(self) -> None:
        self._partial: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._at_start = True
        self.ndjson = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the payloads that ``chunk`` completes, in order."""
        if (
            chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and not self._partial
            and not self._data
            and not self._after_cr
            and not self.ndjson
            and b"\r" not in chunk
        ):
            # The usual read: whole events, one data line each. One C-level split does it.
            payloads = chunk[6:-2].split(b"\n\ndata: ")
            if chunk.count(b"\n") == 2 * len(payloads):  # none inside a payload
                self._at_start = False
                return payloads
        out: list[bytes] = []
        if not (self._at_start or self.ndjson or self._after_cr or b"\r" in chunk):
            chunk = self._cut_events(chunk, out)
        for line in self._lines(chunk):
            self._line(line, out)
        return out

    def _cut_events(self, chunk: bytes, out: list[bytes]) -> bytes:
        """Read the whole events of a read that begins or ends inside one; return what is left.

        So ends each of the large reads in which a server's backlog comes.
        """
        if (self._partial or self._data) and (end := chunk.find(b"\n\n") + 2) > 1:
            for line in self._lines(chunk[:end]):
                self._line(line, out)
            chunk = chunk[end:]
        end = chunk.rfind(b"\n\n") + 2
        if end > 1 and chunk.startswith(b"data: ") and not self._partial and not self._data:
            payloads = chunk[6 : end - 2].split(b"\n\ndata: ")
            if chunk.count(b"\n", 0, end) == 2 * len(payloads):  # none inside a payload
                out += payloads
                return chunk[end:]
        return chunk

    def close(self) -> list[bytes]:
        """Return the payload that the end of the bytes completes, if any."""
        out: list[bytes] = []
        rest = b"".join(self._partial)
        self._partial = []
        if rest:
            self._line(rest, out)
        if self._data:
            self._dispatch(out)
        return out

    def _lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        head, *rest = chunk.split(b"\n")
        if head:
            self._partial.append(head)
        if not rest:
            return []
        lines = [b"".join(self._partial), *rest[:-1]]
        self._partial = [rest[-1]] if rest[-1] else []
        return lines

    def _line(self, line: bytes, out: list[bytes]) -> None:
        if self._at_start:
            line = line.removeprefix(_BOM)
            if not line:
                return
            self._at_start = False
            self.ndjson = line.lstrip().startswith((b"{", b'"'))
        if self.ndjson:
            if line.strip():
                out.append(line)
        elif not line:
            if self._data:
                self._dispatch(out)
        else:
            self._field(line, out)

    def _field(self, line: bytes, out: list[bytes]) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"error":
            out.append(_error_payload(value))
        elif name not in _IGNORED:
            out.append(line)

    def _dispatch(self, out: list[bytes]) -> None:
        out.append(b"\n".join(self._data))
        self._data = []


def _error_payload(value: bytes) -> bytes:
    if value.lstrip().startswith(b"{"):
        return b'{"error":' + value + b"}"
    return json.dumps({"error": value.decode("utf-8", "replace")}).encode()
