"""Our errors, each one also a LangChain ``ModelError``.

    rocm_core.errors.ContextOverflow ─┐
                                      ├─▶ langchain_rocm.errors.ContextOverflow
    langchain_core ContextOverflowError ┘

Every class here is both, so code may catch either, and middleware that reads ``is_retryable`` or
catches ``ContextOverflowError`` works. Messages, attributes (``n_ctx``, ``log_tail``, …) and
tracebacks are those of the original error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core import exceptions as langchain

from rocm_core import errors as rocm


class UncategorizedError(rocm.RocmError, langchain.ModelError):
    """Any other error of ours."""


class ConfigError(rocm.ConfigError, langchain.ModelInvalidRequestError):
    """An option, or a message, cannot be sent like this."""


class ModelNotFound(rocm.ModelNotFound, langchain.ModelNotFoundError):
    """No such file, name or model."""


class InvalidGGUF(rocm.InvalidGGUF, langchain.ModelError):
    """The file is not a GGUF, or its header is damaged."""


class EngineNotFound(rocm.EngineNotFound, langchain.ModelError):
    """Neither a llama-server nor the embedded engine is installed."""


class BackendUnavailable(rocm.BackendUnavailable, langchain.ModelError):
    """The chosen backend cannot run on this machine."""


class InvalidAnswer(rocm.InvalidAnswer, langchain.ModelError, langchain.OutputParserException):
    """The answer is not what the request demands; another attempt may succeed."""

    is_retryable = True
    observation = None
    send_to_llm = False

    @property
    def llm_output(self) -> str:  # type: ignore[override]
        """The answer, under the name that LangChain's output parsers give it."""
        return self.text


class ServerError(rocm.ServerError, langchain.ModelError):
    """The supervised llama-server process failed, or was stopped."""


class ServerStartError(rocm.ServerStartError, langchain.ModelError):
    """The server exited before it was ready."""


class PortInUse(rocm.PortInUse, langchain.ModelError):
    """Another process has the TCP port."""


class GpuNotUsed(rocm.GpuNotUsed, langchain.ModelError):
    """``require_gpu=True``, and nothing of the model is on a GPU."""


class ServerStalled(rocm.ServerStalled, langchain.ModelTimeoutError):
    """Loading the model makes no progress."""


class ServerDied(rocm.ServerDied, langchain.ModelConnectionError):
    """The server exited while it was in use; the next call starts it again."""


class ServerStopped(rocm.ServerStopped, langchain.ModelError):
    """The server was stopped, by ``close()`` or the end of the program, while in use."""


class ClientError(rocm.ClientError, langchain.ModelError):
    """An HTTP request to a server failed."""


class ServerUnreachable(rocm.ServerUnreachable, langchain.ModelConnectionError):
    """Nothing answers at the address."""


class RequestTimeout(rocm.RequestTimeout, langchain.ModelTimeoutError):
    """A time limit passed."""


class RequestCancelled(rocm.RequestCancelled, langchain.ModelError):
    """The request was not sent, because its ``cancel_scope`` was cancelled before."""


class ProtocolError(rocm.ProtocolError, langchain.ModelAPIError):
    """The response is not what the protocol allows."""


class StreamInterrupted(rocm.StreamInterrupted, langchain.ModelConnectionError):
    """A stream ended without its end marker."""


class HTTPStatusError(rocm.HTTPStatusError, langchain.ModelAPIError):
    """The server answered with an error."""


class InvalidRequest(rocm.InvalidRequest, langchain.ModelInvalidRequestError):
    """A field of the request is wrong."""


class ContextOverflow(rocm.ContextOverflow, langchain.ContextOverflowError):
    """The prompt (``n_prompt_tokens``) does not fit the context (``n_ctx``)."""


class AuthenticationError(rocm.AuthenticationError, langchain.ModelAuthenticationError):
    """The API key is missing or wrong."""


class EndpointNotFound(rocm.EndpointNotFound, langchain.ModelNotFoundError):
    """The server has no such endpoint."""


class ServerBusy(rocm.ServerBusy, langchain.ModelRateLimitError):
    """No slot is free."""


class ServerLoading(rocm.ServerLoading, langchain.ModelAPIError):
    """The server is still loading its model."""


class NotSupported(rocm.NotSupported, langchain.ModelInvalidRequestError):
    """This server, or this model, cannot do that."""


class GenerationError(rocm.GenerationError, langchain.ModelAPIError):
    """The server failed while it generated."""


_TWINS: dict[type, type[rocm.RocmError]] = {
    twin.__bases__[0]: twin
    for twin in list(globals().values())
    if isinstance(twin, type) and issubclass(twin, rocm.RocmError)
}


def twin_of(error: rocm.RocmError) -> rocm.RocmError:
    """Return ``error`` as a class of this module: same message, attributes and traceback."""
    if isinstance(error, langchain.ModelError):
        return error
    cls = next(_TWINS[base] for base in type(error).__mro__ if base in _TWINS)
    # Not through ``__init__``, which takes the parts that the message was made of.
    twin = cls.__new__(cls, *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin.with_traceback(error.__traceback__)


@contextmanager
def model_errors() -> Iterator[None]:
    """Turn our errors inside the block into classes of this module."""
    try:
        yield
    except rocm.RocmError as error:
        twin = twin_of(error)
        if twin is error:
            raise
        raise twin from error.__cause__
