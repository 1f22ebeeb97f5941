"""What the sync and the async client share: address, headers, limits. No transport here."""

from __future__ import annotations

import contextlib
import copy
import re
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
import orjson

from rocm_core.client.calls import Call
from rocm_core.client.cancellation import Wire, current_scope
from rocm_core.client.deadline import Deadline
from rocm_core.client.failures import (
    error_from_response,
    page_title,
    translated,
    without_password,
)
from rocm_core.config import Timeouts
from rocm_core.errors import (
    ClientError,
    ConfigError,
    HTTPStatusError,
    ProtocolError,
    RocmError,
    ServerUnreachable,
)
from rocm_core.requests import body_fault

T = TypeVar("T")

# Each request has a connection of its own. llama-server closes the connection after a streamed
# answer although it advertises keep-alive, so a pool would hand out dead connections; and
# without idle connections nothing outlives an event loop.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)

# The GET endpoints for which a llama-server in router mode takes the model as ``?model=``
# (``get_param("model")`` in ``server-models.cpp``).
PER_MODEL = frozenset({"/props", "/slots", "/metrics", "/lora-adapters"})

# Of one connection (RFC 9110, 7.6.1), or the length of what is sent on it: with others, a server
# would read our requests as something else.
_OF_FRAMING = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "content-length", "expect"}
)

# Bytes and seconds that are spent on the words of an error.
_REFUSAL_SIZE, _REFUSAL_TIME = 65536, 5.0

Diagnose = Callable[[RocmError], RocmError]


class ClientSettings:
    """Where and how to reach one server, and the pure parts of every request.

    Attributes:
        base_url: the server's URL, without a password and without a trailing ``/v1``.
        model: put into the field ``model`` of every request that names none.
        routed: the server is a router, so ``GET`` requests name the model too.
        timeouts: limits of a request that has none of its own; a ``Deadline``: of all requests
            together.
        last_used: when the last request ended (``time.monotonic``), 0 before the first.
    """

    def __init__(
        self,
        base_url: str = "http://localhost",
        *,
        uds: str | Path | None = None,
        api_key: str | None = None,
        timeouts: Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        diagnose: Diagnose | None = None,
    ) -> None:
        """Args:
            base_url: ``http(s)://host:port[/prefix]``; a trailing ``/v1`` is dropped.
            uds: unix socket to connect to instead of the URL's host.
            api_key: sent as a bearer token; never part of ``repr``.
            timeouts: limits per phase.
            headers: further headers for every request.
            tls: how to trust an ``https`` server; ``None``: by httpx's own.
            diagnose: takes the error of a request that failed, and returns it or a better one
                (that the server has died).

        Raises:
            ConfigError: the URL is not http or https, or a header is not legal in HTTP or one of
                the connection.
        """
        for name, value in (headers or {}).items():
            if type(name) is not str or type(value) is not str:
                raise ConfigError("the names and values of headers= are texts")
        url = base_url.rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"base_url must start with http:// or https://, got {base_url!r}")
        checked = _checked_url(url.removesuffix("/v1"))
        self.base_url = without_password(checked) if checked.userinfo else url.removesuffix("/v1")
        self.uds = str(uds) if uds is not None else None
        self.timeouts: Timeouts | Deadline = timeouts or Timeouts()
        # Names the model in every request: routers and proxies with several of them need it.
        self.model: str | None = None
        self.routed = False
        self._headers = {
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
            "content-type": "application/json",
            "user-agent": "llama-rocm",
            **{name.lower(): value for name, value in (headers or {}).items()},
        }
        if checked.userinfo:
            # Not left to httpx: it writes the address of every request into its log.
            self._headers["authorization"] = _basic(checked)
        if api_key and checked.userinfo:
            self._headers["x-api-key"] = api_key  # llama-server takes it there, too
        elif api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        if framing := sorted(_OF_FRAMING.intersection(map(str.lower, headers or {}))):
            raise ConfigError(
                f"headers= has {', '.join(framing)}, which belong to the connection: leave out "
                "what each request gets by itself"
            )
        for name, value in self._headers.items():
            # RFC 9110, 5.1 and 5.6.2. Not shown further: it may be a whole header.
            legal = re.match(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*", name)
            if not name or not legal or legal[0] != name:
                raise ConfigError(
                    f"the name of a header ({legal[0] if legal else ''!r} …) holds characters that "
                    "HTTP does not allow: it takes letters, digits and !#$%&'*+-.^_`|~"
                )
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise ConfigError(f"the {name} header holds characters that HTTP does not allow")
        self._verify = tls or True
        self.last_used = 0.0
        self._diagnose = diagnose
        self._wires: set[Wire] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    @property
    def address(self) -> str:
        """The URL without a password, or ``unix:`` and the path of the socket."""
        return f"unix:{self.uds}" if self.uds else self.base_url

    @property
    def in_flight(self) -> int:
        """The number of requests that are under way."""
        return len(self._wires)

    def abort_streams(self, cause: RocmError | None = None) -> None:
        """Break off every request that is under way, from any thread.

        The callers that wait for them get an error at once; llama-server frees the slots.

        Args:
            cause: the error that each of them gets a copy of; ``None``: that of a broken
                connection.
        """
        for wire in list(self._wires):
            wire.cut(cause)

    def forget_connections(self) -> None:
        """Close this process's copies of the connections, after a fork.

        The requests of the parent go on; but the kernel closes a connection only when every copy
        is closed.
        """
        for wire in list(self._wires):
            wire.close_copy()

    @contextlib.contextmanager
    def _wire(self, *, scoped: bool = False) -> Iterator[Wire]:
        """Register a connection while its request is under way.

        Args:
            scoped: cut it with the ``cancel_scope`` of the caller; a server's start is not cut.
        """
        wire = Wire()
        scope = current_scope() if scoped else None
        with scope.holding(wire) if scope else contextlib.nullcontext():
            self._wires.add(wire)
            try:
                yield wire
            except ClientError as error:
                if wire.cause is None or isinstance(error, HTTPStatusError):
                    raise
                raise copy.copy(wire.cause) from error
            finally:
                self.last_used = time.monotonic()
                self._wires.discard(wire)

    @contextlib.contextmanager
    def _sending(
        self, client: httpx.Client | httpx.AsyncClient, deadline: Deadline
    ) -> Iterator[None]:
        """Translate the errors of a request until its answer begins, or of a whole answer."""
        doing = f"waiting for {self.address} to answer"
        try:
            with deadline.named(doing), translated(self.address, deadline.limits, streaming=False):
                yield
        except RuntimeError as error:
            if not client.is_closed:
                raise
            raise ServerUnreachable(f"the client of {self.address} is closed") from error

    @contextlib.contextmanager
    def _reading(self, deadline: Deadline) -> Iterator[None]:
        """Translate the errors of a request whose answer has begun."""
        doing = f"reading the answer of {self.address}"
        with deadline.named(doing), translated(self.address, deadline.limits, streaming=True):
            yield

    @property
    def _plain(self) -> bool:
        """Whether our own transports can serve the URL; TLS is left to httpx."""
        return self.base_url.startswith("http://")

    def _client_options(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "headers": self._headers, "trust_env": False}

    def _addressed(self, path: str, body: Any) -> tuple[str, Any]:
        if isinstance(body, dict):
            return path, {"model": self.model, **body}
        if self.routed and path in PER_MODEL:
            return f"{path}?{urlencode({'model': self.model})}", body
        return path, body

    def _content(self, body: Any) -> bytes | None:
        if body is None:
            return None
        try:
            return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
        except TypeError as error:
            why = body_fault(body) or str(error)
            raise ConfigError(f"the request cannot be written as JSON: {why}") from error

    def _request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        method: str,
        path: str,
        body: Any,
        deadline: Deadline,
        *,
        whole: bool = False,
    ) -> httpx.Request:
        """Return a request with its limits: ``first_token`` is that of an answer's first byte, or,
        if it is read as a ``whole``, of its last one.
        """
        if self.model is not None:
            path, body = self._addressed(path, body)
        first = deadline.left(deadline.limits.first_token)
        connect = deadline.left(deadline.limits.connect)
        timeout = httpx.Timeout(connect=connect, read=first, write=first, pool=None)
        request = client.build_request(method, path, content=self._content(body), timeout=timeout)
        request.extensions["deadline"] = deadline.end
        if whole and first is not None:
            request.extensions["deadline"] = time.monotonic() + first
        return request

    def _read(self, call: Call[T], response: httpx.Response) -> T:
        try:
            return call.read(response.content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ProtocolError(
                f"unexpected answer of {call.path}: {response.content[:200]!r}"
            ) from error


class Whole(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer that is no stream: all of it, not each read, is limited.

    Our own transports hold that by themselves. Others limit each read only, so that a server that
    sends a byte from time to time would keep its caller: here the time is checked at each byte.
    """

    def __init__(self, response: httpx.Response) -> None:
        """Wrap the body of ``response``, which is to be read with the response's own methods."""
        self._body: Any = response.stream
        self._end: float | None = response.request.extensions["deadline"]
        response.stream = self

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            yield piece
            self._check()
        self._check()  # it may have been cut off for its time

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece
            self._check()
        self._check()

    def _check(self) -> None:
        if self._end is not None and time.monotonic() > self._end:
            raise httpx.ReadTimeout("the answer is not complete")

    def close(self) -> None:
        """Close the connection."""
        self._body.close()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._body.aclose()


def body_begins(response: httpx.Response, deadline: Deadline) -> None:
    """Apply the ``idle`` limit from now on; transports read it anew when the body begins."""
    response.request.extensions["timeout"]["read"] = deadline.left(deadline.limits.idle)


def is_page(response: httpx.Response) -> bool:
    """Return whether an answer is a page for people, by its head."""
    return "text/html" in response.headers.get("content-type", "").lower()


class Refusal:
    """An answer that is none: an error, a redirect, or a page. Reads as much as its words need.

    That is no more than 64 KiB and 5 seconds, however long the server goes on.
    """

    def __init__(self, response: httpx.Response, deadline: Deadline) -> None:
        """``response``: its head has arrived."""
        self._response = response
        self._content = b""
        self._end = time.monotonic() + (deadline.left(_REFUSAL_TIME) or 0.0)
        response.request.extensions["deadline"] = self._end
        response.request.extensions["timeout"]["read"] = deadline.left(_REFUSAL_TIME)

    def take(self, piece: bytes) -> bool:
        """Add a piece of the body; return whether that is enough."""
        self._content += piece
        return len(self._content) > _REFUSAL_SIZE or time.monotonic() > self._end

    def error(self) -> ClientError:
        """Return the error that the answer is."""
        if self._response.is_success:
            page = page_title(self._content) or f"the server sent a page: {self._content[:80]!r}"
            return ProtocolError(f"{without_password(self._response.request.url)}: {page}")
        return error_from_response(self._response, self._content)


def is_compressed(response: httpx.Response) -> bool:
    """Return whether the body is to be unpacked, although we ask for it as it is.

    Raises:
        ProtocolError: in a way that we cannot.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding == "x-gzip":  # another name of gzip (RFC 9110, 8.4.1.3), which httpx does not know
        response.headers["content-encoding"] = coding = "gzip"
    if coding in ("gzip", "deflate"):
        return True
    if coding not in ("", "identity"):
        raise ProtocolError(
            f"{without_password(response.request.url)} sends its answer compressed "
            f"({coding[:40]!r}), although it was asked for it as it is: a proxy does that; turn it "
            "off there"
        )
    return False


def _basic(url: httpx.URL) -> str:
    """Return the header for a name and a password in a URL (RFC 7617)."""
    return "Basic " + b64encode(f"{url.username}:{url.password}".encode()).decode()


def _checked_url(url: str) -> httpx.URL:
    """Parse a URL.

    Raises:
        ConfigError: nothing can connect to it.
    """
    try:
        parsed = httpx.URL(url)
        parsed.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"not a usable base_url: {error}") from error
    if not parsed.host or (parsed.port or 0) > 65535:
        shown = without_password(parsed)
        raise ConfigError(f"base_url needs a host and a port up to 65535, got {shown!r}")
    return parsed
