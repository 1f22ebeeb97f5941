"""The OpenAI-compatible front of an application: which model, who may ask, what is answered.

An ASGI application inside a Ray Serve replica of its own. It holds no state but the routers'.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import orjson

from rocm_core.scale import prometheus
from rocm_core.scale.forward import (
    CutOff,
    Forwarder,
    NoReplica,
    Overloaded,
    Refusals,
    Request,
    Send,
)
from rocm_core.scale.routing.prompts import prompt_key

log = logging.getLogger("ray.serve")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Scope = MutableMapping[str, Any]

# llama-server's own bound of a request's body (cpp-httplib's default).
_MAX_BODY = 100 << 20
# Seconds for what every replica is asked.
_ASK_ALL = 10.0
_GENERATES = frozenset(
    {
        *("/v1/chat/completions", "/chat/completions", "/v1/completions", "/completions"),
        *("/completion", "/infill", "/v1/responses", "/responses", "/v1/messages"),
    }
)
# What every replica answers alike, from the model or by one request. Not what belongs to one
# server: its slots, adapters and resumable streams.
_FORWARDED = _GENERATES | {
    *("/v1/embeddings", "/embeddings", "/embedding"),
    *("/v1/rerank", "/v1/reranking", "/rerank", "/reranking"),
    *("/tokenize", "/detokenize", "/apply-template", "/props"),
    *("/v1/chat/completions/input_tokens", "/v1/responses/input_tokens"),
    *("/v1/messages/count_tokens", "/v1/systemone"),
}
_PUBLIC = frozenset({"/health", "/v1/health"})


def digest(key: str) -> str:
    """Return what an application keeps of an API key: Ray shows arguments of its applications."""
    return hashlib.sha256(key.encode()).hexdigest()


class Front:
    """Answers requests for the models of one application."""

    def __init__(
        self,
        handles: Mapping[str, Any],
        key_digests: Sequence[str],
        *,
        name: str = "",
        refusals: Refusals = (),
    ) -> None:
        """Args:
        handles: Ray Serve's handle of the replicas of each model, by the model's name.
        key_digests: of the API keys that are let in; empty: everybody is.
        name: of the actor that this front is in.
        refusals: what a handle raises if it takes no more requests.
        """
        self._handles = dict(handles)
        self._forwarders = {n: Forwarder(h, name, refusals) for n, h in handles.items()}
        self._digests = tuple(key_digests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        path = scope["path"].rstrip("/") or "/"
        if path not in _PUBLIC and not self._lets_in(headers):
            await _refuse(send, 401, "authentication_error", "Invalid API Key")
            return
        try:
            await self._answer(path, scope, headers, receive, send)
        except Overloaded as error:
            await _refuse(send, 503, "unavailable_error", f"{error} Try again later.")
        except NoReplica as error:
            await _refuse(send, 503, "unavailable_error", f"Loading model: {error}")
        except CutOff as error:
            log.warning("%s: %s", path, error)
            raise  # so that the connection breaks, and nobody takes the answer for a whole one

    async def _answer(
        self, path: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        method = scope["method"]
        if path in _PUBLIC:
            await self._health(send)
        elif path in ("/v1/models", "/models") and method == "GET":
            await self._models(send)
        elif path == "/metrics" and method == "GET":
            await self._metrics(send)
        elif path in _FORWARDED:
            await self._forward(path, scope, headers, receive, send)
        else:
            text = f"{method} {path} belongs to one server; replicas have no such address in common"
            await _refuse(send, 404, "not_found_error", text)

    async def _forward(
        self, path: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        body = await _whole(receive)
        if body is None:
            await _refuse(send, 413, "invalid_request_error", f"the body is over {_MAX_BODY} bytes")
            return
        fields = _fields(body)
        query = scope.get("query_string", b"")
        name = fields.get("model") or _parameter(query, b"model=")
        forwarder = self._forwarder(name)
        if forwarder is None:
            names = ", ".join(self._forwarders)
            text = f"model {name!r} is not served here; there are: {names}"
            await _refuse(send, 404, "not_found_error", text)
            return
        target = path + (f"?{query.decode('latin-1')}" if query else "")
        session = headers.get(b"x-session-id", b"").decode("latin-1")
        key = prompt_key(fields, session) if path in _GENERATES else ""
        await forwarder.forward(Request(scope["method"], target, headers, body, key), send)

    def _forwarder(self, name: Any) -> Forwarder | None:
        if len(self._forwarders) == 1:  # whatever it is called, as llama-server does it
            return next(iter(self._forwarders.values()))
        return self._forwarders.get(name) if isinstance(name, str) else None

    def _lets_in(self, headers: Mapping[bytes, bytes]) -> bool:
        if not self._digests:
            return True
        given = headers.get(b"authorization", b"")
        scheme, _, key = given.partition(b" ")
        if scheme.lower() != b"bearer":
            key = headers.get(b"x-api-key", b"")
        shown = digest(key.strip().decode("latin-1"))
        return any(hmac.compare_digest(shown, known) for known in self._digests)

    # -- what the front answers itself ------------------------------------------------------

    async def _health(self, send: Send) -> None:
        statuses = await self._ask_all()
        empty = [name for name, found in statuses.items() if not any(s["ready"] for s in found)]
        if empty:
            await _refuse(send, 503, "unavailable_error", f"Loading model: {', '.join(empty)}")
        else:
            await _reply(send, {"status": "ok"})

    async def _models(self, send: Send) -> None:
        listed = [{"id": name, "object": "model", "owned_by": "llamacpp"} for name in self._handles]
        await _reply(send, {"object": "list", "data": listed})

    async def _metrics(self, send: Send) -> None:
        text = prometheus.page(await self._ask_all())
        await _send(send, 200, b"text/plain; version=0.0.4; charset=utf-8", text.encode())

    async def _ask_all(self) -> dict[str, list[dict[str, Any]]]:
        """Return the status of every replica of every model; none of those that do not answer."""

        async def ask(handle: Any) -> list[dict[str, Any]]:
            try:
                asked = handle.broadcast("status")
                answers = await asked.results_async(timeout_s=_ASK_ALL, return_exceptions=True)
            except Exception as error:  # the application is being changed, or one does not answer
                log.warning("the replicas did not say how they are: %s", error)
                return []
            return [answer for answer in answers if isinstance(answer, dict)]

        found = await asyncio.gather(*map(ask, self._handles.values()))
        return dict(zip(self._handles, found, strict=True))


def _fields(body: bytes) -> dict[str, Any]:
    """Return the request's fields; none of a body that is no JSON, which llama-server refuses."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _parameter(query: bytes, name: bytes) -> str:
    from urllib.parse import unquote_plus

    for part in query.split(b"&"):
        if part.startswith(name):
            return unquote_plus(part[len(name) :].decode("latin-1"))
    return ""


async def _whole(receive: Receive) -> bytes | None:
    """Return the body of the request; ``None`` if it is too long."""
    pieces, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > _MAX_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(pieces)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _refuse(send: Send, status: int, kind: str, message: str) -> None:
    error = {"code": status, "message": message, "type": kind}
    await _reply(send, {"error": error}, status)


async def _reply(send: Send, content: Any, status: int = 200) -> None:
    await _send(send, status, b"application/json; charset=utf-8", orjson.dumps(content))


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
