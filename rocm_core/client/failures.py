"""Map a server's error, or a broken connection, to our error tree. Pure.

llama.cpp sources: ``format_error_response`` in ``tools/server/server-common.cpp`` (types and
status codes), ``server-task.cpp`` (``exceed_context_size_error`` with both numbers).
"""

from __future__ import annotations

import contextlib
import re
import reprlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from rocm_core import errors
from rocm_core.config import Timeouts

if TYPE_CHECKING:
    import httpx

_NUMBER = r"\((\d{1,18}) tokens\)"
_OVERFLOW = re.compile(f"{_NUMBER} exceeds the available context size {_NUMBER}")
# Of a text to embed, and of a question with its options (``server-context.cpp``).
_BATCH_OVERFLOW = re.compile(
    f"(?:input|options) {_NUMBER} (?:is|are) too large to process.*: (\\d{{1,18}})"
)

_BY_TYPE: dict[str, type[errors.HTTPStatusError]] = {
    "invalid_request_error": errors.InvalidRequest,
    "exceed_context_size_error": errors.ContextOverflow,
    "authentication_error": errors.AuthenticationError,
    "permission_error": errors.AuthenticationError,
    "feature_disabled": errors.NotSupported,
    "not_found_error": errors.EndpointNotFound,
    "not_supported_error": errors.NotSupported,
    "server_error": errors.GenerationError,
}
_BY_STATUS: dict[int, type[errors.HTTPStatusError]] = {
    400: errors.InvalidRequest,
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.EndpointNotFound,
    422: errors.InvalidRequest,
    429: errors.ServerBusy,
    500: errors.GenerationError,
    501: errors.NotSupported,
    503: errors.ServerBusy,
}
_REMEDY: dict[type[errors.HTTPStatusError], str] = {
    errors.AuthenticationError: "Pass the server's key as api_key=.",
    errors.EndpointNotFound: "Check the base URL, and that the server is a llama-server.",
    errors.ServerLoading: "Wait until GET /health answers 200, then try again.",
    errors.ServerBusy: "Every slot is taken: try again later or start it with more slots.",
}
# What a server says (``tools/server/server-context.cpp``), and what to do about it.
_SAID: tuple[tuple[str, str], ...] = (
    (
        "Cannot continue an assistant message that contains tool calls",
        "The conversation ends in tool calls: answer the tools first, with one message of role "
        "'tool' for each call.",
    ),
    (
        "Cannot have 2 or more assistant messages at the end",
        "Join the last messages of the assistant, or end the conversation with the user's.",
    ),
    # ``common/jinja/runtime.cpp``: the template itself raised, or failed.
    (
        "While executing ",
        "The chat template of the model does not take this conversation, or its variables: see "
        "the line of the template above, change the messages or chat_template_kwargs=, or load the "
        "model with another chat_template=.",
    ),
    (
        "not support embeddings",
        "Load the model with embeddings=True; a server of somebody else needs --embeddings.",
    ),
    (
        "not support reranking",
        "Load a reranking model with rerank=True; a server of somebody else needs --rerank.",
    ),
    (
        "not a decision model",
        "Load a decision model (a GGUF file with the key '<architecture>.decision.type'), or let "
        "any chat model decide by one constrained token: TextModel.decide, RocmDecisions and "
        "RocmSelector do.",
    ),
    (
        "must be one of: choice, score, noul",
        "This build answers no other questions (YesNo is its noul).",
    ),
    (
        "not support image input for decisions",
        "Load a decision model that sees, with its projector (mmproj=…).",
    ),
    (
        "Pooling type 'none'",
        "This model has no pooling of its own, as chat models have none: load an embedding model, "
        "or this one with pooling='mean' or 'last'.",
    ),
)

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 300
_short.maxdict = _short.maxlist = 10
shown = _short.repr  # bounded in length and depth, whatever a server sends


def error_from_body(body: Any, status: int = 0, url: str = "") -> errors.HTTPStatusError:
    """Return the exception for an error body ``{"error": {code, message, type, …}}``.

    Bodies of other shapes (plain strings, proxies' HTML) keep their text.

    Args:
        body: the decoded JSON, or the text of a body that is none.
        status: HTTP status; 0 for an error inside a stream, whose ``code`` is taken instead.
        url: for the message.
    """
    report = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(report, dict):
        report = {"message": report if isinstance(report, str) else shown(report)}
    code = report.get("code")
    status = status or (code if isinstance(code, int) else 0)
    kind = report.get("type") if isinstance(report.get("type"), str) else ""
    said = report.get("message")
    message = said if isinstance(said, str) else shown(report)
    cls = _error_class(status, kind or "", message)
    facts: dict[str, Any] = {"status": status, "type": kind, "message": message}
    text = f"{message} (HTTP {status})" if status else message
    if url:
        text += f" from {url}"
    if cls is errors.ContextOverflow:
        return _context_overflow(report, message, facts)
    if remedy := _remedy(cls, message):
        text = f"{text}. {remedy}"
    return cls(text, **facts)


def _error_class(status: int, kind: str, message: str) -> type[errors.HTTPStatusError]:
    if status == 503 and "oading" in message:
        return errors.ServerLoading
    if _OVERFLOW.search(message) or _BATCH_OVERFLOW.search(message):
        return errors.ContextOverflow
    return _BY_TYPE.get(kind) or _BY_STATUS.get(status) or errors.GenerationError


def _remedy(cls: type[errors.HTTPStatusError], message: str) -> str | None:
    return next((what for said, what in _SAID if said in message), None) or _REMEDY.get(cls)


def _context_overflow(
    report: dict[str, Any], message: str, facts: dict[str, Any]
) -> errors.ContextOverflow:
    numbers = [report.get("n_prompt_tokens"), report.get("n_ctx")]
    if batch := _BATCH_OVERFLOW.search(message):
        return _batch_overflow(int(batch[1]), int(batch[2]), facts)
    found = _OVERFLOW.search(message)
    if found and not all(isinstance(n, int) for n in numbers):
        numbers = [int(found[1]), int(found[2])]
    n_prompt, n_ctx = (n if isinstance(n, int) else None for n in numbers)
    text = (
        f"the prompt has {n_prompt or 'more'} tokens, the context of a slot holds "
        f"{n_ctx or 'fewer'}. Shorten the prompt, or load the model with a larger context_len."
    )
    return errors.ContextOverflow(text, n_prompt_tokens=n_prompt, n_ctx=n_ctx, **facts)


def _batch_overflow(n_prompt: int, n_batch: int, facts: dict[str, Any]) -> errors.ContextOverflow:
    """Return the error of a text that an embedding or reranking model cannot read at once.

    They read each text in one physical batch (``server-context.cpp``).
    """
    text = (
        f"a text has {n_prompt} tokens, the server reads {n_batch} at once. Split the text, or "
        "load the model with a larger ubatch_size, up to its context length."
    )
    return errors.ContextOverflow(text, n_prompt_tokens=n_prompt, n_ctx=n_batch, **facts)


def error_from_response(
    response: httpx.Response, content: bytes | None = None
) -> errors.HTTPStatusError:
    """Return the exception for a response that is no success.

    Args:
        response: its head: status, headers and request.
        content: its body, or the beginning of it; ``None``: the response has been read.
    """
    content = response.content if content is None else content
    url = without_password(response.request.url)
    if "location" in response.headers and 300 <= response.status_code < 400:
        return _redirected(response, url)
    try:
        body: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        text = content.decode("utf-8", "replace")
        body = text.strip()[:500] or response.reason_phrase
    error = error_from_body(body, response.status_code, url)
    error.retry_after = _seconds(response.headers.get("retry-after", ""))
    return error


def _redirected(response: httpx.Response, url: str) -> errors.HTTPStatusError:
    """Return the error of a redirect. It is not followed: the request has a key, and texts."""
    from rocm_core.client.plain_http.httpx_import import httpx

    try:
        target = response.request.url.join(response.headers["location"])
        shown_target = str(target.copy_with(username=None, password=None, query=None))
    except (httpx.InvalidURL, ValueError):
        shown_target = response.headers["location"]
    message = (
        f"{url} redirects to {shown_target[:200]!r} (HTTP {response.status_code}). Redirects are "
        "not followed, so that the API key and the request go nowhere else: if that is the "
        "server, give its address as base_url=."
    )
    return errors.HTTPStatusError(message, status=response.status_code, message=message)


def _seconds(retry_after: str) -> float | None:
    """Read the header ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date; ``None`` for none."""
    text = retry_after.strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)


def page_title(content: bytes) -> str:
    """Return what to say of an HTML page that came in place of an answer; empty if it is none.

    Args:
        content: the body, or the beginning of it.
    """
    start = content[:65536].lstrip()
    if start[:1] != b"<":
        return ""
    import html

    found = _TITLE.search(start)
    title = html.unescape(found[1].decode("utf-8", "replace")).strip() if found else ""
    what = f"a page titled {title!r}" if title else f"a page that begins with {start[:80]!r}"
    return (
        f"the server sent {what} instead of an answer: a proxy or a login page is in front of it, "
        "or base_url= leads to a web site. Check the address, and what the proxy demands "
        "(api_key=, headers=)."
    )


def without_password(url: httpx.URL) -> str:
    """Return a URL as messages may show it."""
    return str(url.copy_with(username=None, password=None))


@contextlib.contextmanager
def translated(url: str, timeouts: Timeouts, *, streaming: bool) -> Iterator[None]:
    """Raise httpx's exceptions as ours.

    Args:
        url: for the messages.
        timeouts: the limits that held, for the messages.
        streaming: the answer had begun.
    """
    # Not at the top: what reads errors in answers has no requests to send.
    from rocm_core.client.plain_http.httpx_import import httpx

    try:
        yield
    except httpx.ConnectTimeout as error:
        raise errors.RequestTimeout(
            f"no connection to {url} within {timeouts.connect} s "
            "(connect_timeout=, timeouts.connect)",
            phase="connect",
        ) from error
    except httpx.TimeoutException as error:
        phase = "idle" if streaming else "first_token"
        limit, what = (
            getattr(timeouts, phase),
            "sent nothing for" if streaming else "did not answer for",
        )
        raise errors.RequestTimeout(
            f"{url} {what} {limit} s ({phase}_timeout=, timeouts.{phase})", phase=phase
        ) from error
    except httpx.ConnectError as error:
        raise errors.ServerUnreachable(
            f"nothing answers at {url} ({error}). Is the server running, and is the address right?"
        ) from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise errors.ConfigError(f"not a usable URL: {url} ({error})") from error
    except httpx.LocalProtocolError:
        # Its text shows the header's value, which may be a secret.
        raise errors.ConfigError("a header of the request is not legal in HTTP") from None
    except httpx.RemoteProtocolError as error:
        cls = errors.StreamInterrupted if streaming else errors.ServerUnreachable
        raise cls(f"{url} broke the connection off: {error}") from error
    except httpx.DecodingError as error:
        raise errors.ProtocolError(f"{url} sent an undecodable body: {error}") from error
    except httpx.TransportError as error:
        cls = errors.StreamInterrupted if streaming else errors.ServerUnreachable
        raise cls(f"the connection to {url} broke: {error or type(error).__name__}") from error
