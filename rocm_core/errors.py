"""Every exception that this project raises on purpose, in one tree.

    RocmError
    ├─ ConfigError                 an option is unknown, contradictory or out of range
    ├─ ModelNotFound               no such file, name or model on the server
    ├─ InvalidGGUF                 the file is not a GGUF, or its header is damaged
    ├─ EngineNotFound              neither a llama-server nor the embedded engine is installed
    ├─ BackendUnavailable          the chosen backend cannot run on this machine
    ├─ InvalidAnswer               the model's answer is not what the request demands
    ├─ ServerError                 the supervised llama-server process
    │  ├─ ServerStartError         it exited before it was ready
    │  │  └─ PortInUse             another process has the TCP port
    │  ├─ GpuNotUsed               require_gpu, and nothing of the model is on a GPU
    │  ├─ ServerStalled            it runs, but loading makes no progress
    │  ├─ ServerDied               it exited while it was in use
    │  └─ ServerStopped            it was stopped (close(), end of program) while in use
    └─ ClientError                 an HTTP request to a server
       ├─ ServerUnreachable        nothing answers at the address
       ├─ RequestTimeout           connect, first token, idle or total limit passed
       ├─ RequestCancelled         its cancel_scope was cancelled before it was sent
       ├─ ProtocolError            the response is not what the protocol allows
       │  └─ StreamInterrupted     a stream ended without its end marker
       └─ HTTPStatusError          the server answered with an error
          ├─ InvalidRequest        400: a field is wrong
          │  └─ ContextOverflow    the prompt does not fit the context
          ├─ AuthenticationError   401, 403: API key missing or wrong
          ├─ EndpointNotFound      404
          ├─ ServerBusy            429, or 503 because no slot is free
          ├─ ServerLoading         503 while the model is loading
          ├─ NotSupported          501: this server or model cannot do that
          └─ GenerationError       an error that the server reports inside a stream, or 500

Catch ``RocmError`` for everything, or the class that fits. Messages say what to do next. Every
exception can be pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rocm_core.terminal import visible


class RocmError(Exception):
    """Base class of every exception raised on purpose.

    As text, it has no control characters: what a server, a log or a file said may be in it, and
    Python prints it when nobody catches it.

    Attributes:
        cause: why, in words for people, where a known failure explains it; else empty.
        remedy: what to do about that cause; else empty.
    """

    cause: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return visible(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: this message and the reader's own lines of code."""
        from rocm_core.display.traceback import lines_of

        return lines_of(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors with keyword-only fields must survive pickling (multiprocessing, Ray).
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(cls: type[RocmError], args: tuple[Any, ...], state: dict[str, Any]) -> RocmError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(RocmError, ValueError):
    """An option is unknown, contradictory or out of range."""


class ModelNotFound(RocmError, FileNotFoundError):
    """No such file, name or model."""


class InvalidGGUF(RocmError, ValueError):
    """The file is not a GGUF, or its header is damaged."""


class EngineNotFound(RocmError):
    """Neither a llama-server nor the embedded engine is installed."""


class BackendUnavailable(RocmError):
    """The chosen backend cannot run on this machine; the message lists the reasons."""


class InvalidAnswer(RocmError, ValueError):
    """The answer is not what the request demands: no tool call, no JSON, not of the schema.

    Attributes:
        text: the answer as the model wrote it.
        problem: the fault alone, as the model may be told; may be empty.
    """

    def __init__(self, message: str, *, text: str = "", problem: str = "") -> None:
        self.text = text
        self.problem = problem
        super().__init__(message)


# ---------------------------------------------------------------------------
# The supervised process
# ---------------------------------------------------------------------------


class ServerError(RocmError):
    """The supervised llama-server process failed, or was stopped.

    Attributes:
        returncode: exit code, or minus the signal number; ``None`` while the process runs.
        command: the command line; it contains no secrets.
        log_tail: the last lines the process printed, oldest first.
    """

    def __init__(
        self,
        message: str,
        *,
        returncode: int | None = None,
        command: Sequence[str] = (),
        log_tail: Sequence[str] = (),
        cause: str = "",
        remedy: str = "",
    ) -> None:
        self.returncode = returncode
        self.cause = cause
        self.remedy = remedy
        self.command = tuple(command)
        self.log_tail = tuple(log_tail)
        super().__init__(_with_evidence(message, self.command, self.log_tail))


def _with_evidence(message: str, command: tuple[str, ...], tail: tuple[str, ...]) -> str:
    parts = [message]
    if command:
        parts.append("Command: " + " ".join(command))
    if tail:
        parts.append("Last log lines:\n" + "\n".join(f"  {line}" for line in tail[-12:]))
    return "\n".join(parts)


class ServerStartError(ServerError):
    """The process exited before it was ready."""


class PortInUse(ServerStartError):
    """Another process has the TCP port."""


class GpuNotUsed(ServerError):
    """``require_gpu=True``, and the load log shows nothing of the model on a GPU."""


class ServerStalled(ServerError, TimeoutError):
    """The process runs, but loading made no progress for ``stall_timeout`` seconds."""


class ServerDied(ServerError):
    """The process exited while it was in use; an answer that has begun is never repeated."""


class ServerStopped(ServerError):
    """The server's owner stopped it while a request was under way, or the model is closed."""


# ---------------------------------------------------------------------------
# Requests over HTTP
# ---------------------------------------------------------------------------


class ClientError(RocmError):
    """An HTTP request to a server failed."""


class ServerUnreachable(ClientError, ConnectionError):
    """Nothing answers at the address, or the connection broke before any answer."""


class RequestTimeout(ClientError, TimeoutError):
    """A time limit passed.

    Attributes:
        phase: which one: ``connect``, ``first_token``, ``idle`` or ``total``.
    """

    def __init__(self, message: str, *, phase: str) -> None:
        self.phase = phase
        super().__init__(message)


class RequestCancelled(ClientError):
    """The request was not sent, because its ``cancel_scope`` was cancelled before."""


class ProtocolError(ClientError):
    """The response is not what the protocol allows: no JSON, or another shape."""


class StreamInterrupted(ProtocolError):
    """A stream ended without its end marker: the answer is incomplete."""


class HTTPStatusError(ClientError):
    """The server answered with an error.

    Attributes:
        status: HTTP status, or the ``code`` of an error inside a stream; 0 if unknown.
        type: llama-server's error type, for example ``exceed_context_size_error``.
        message: the server's own words.
        retry_after: seconds after which the server asks to be tried again (the header
            ``Retry-After``); ``None`` if it does not say.
    """

    retry_after: float | None = None

    def __init__(self, text: str, *, status: int = 0, type: str = "", message: str = "") -> None:
        self.status = status
        self.type = type
        self.message = message or text
        super().__init__(text)


class InvalidRequest(HTTPStatusError):
    """400: a field of the request is wrong."""


class ContextOverflow(InvalidRequest):
    """The prompt does not fit the context.

    Attributes:
        n_prompt_tokens: tokens in the request; ``None`` if the server does not say.
        n_ctx: tokens that fit: of a slot, or of a batch for embedding and reranking; ``None`` if
            the server does not say.
    """

    def __init__(
        self,
        text: str,
        *,
        n_prompt_tokens: int | None = None,
        n_ctx: int | None = None,
        **facts: Any,
    ) -> None:
        self.n_prompt_tokens = n_prompt_tokens
        self.n_ctx = n_ctx
        super().__init__(text, **facts)


class AuthenticationError(HTTPStatusError):
    """401 or 403: the API key is missing or wrong."""


class EndpointNotFound(HTTPStatusError):
    """404: the server has no such endpoint."""


class ServerBusy(HTTPStatusError):
    """429, or 503 because no slot is free."""


class ServerLoading(HTTPStatusError):
    """503: the server is still loading its model."""


class NotSupported(HTTPStatusError):
    """501: this server, or this model, cannot do that."""


class GenerationError(HTTPStatusError):
    """The server failed while it generated: an error inside a stream, or status 500."""
