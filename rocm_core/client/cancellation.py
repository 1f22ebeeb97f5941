"""Break off generation that runs elsewhere: in worker threads, in other tasks.

    with cancel_scope() as scope:
        thread = pool.submit(chat.invoke, "…")     # a context that is copied belongs to the scope
        …
        scope.cancel()                             # ends its answer and frees its slot

A thread cannot be interrupted, but its connection can be cut. Leaving the block with an
exception (Ctrl-C, a cancelled task) cancels as well.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from rocm_core.errors import RequestCancelled, RocmError


class _Cuttable(Protocol):
    def cut(self) -> None: ...


class CancelScope:
    """The requests sent inside a ``cancel_scope()``. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wires: set[_Cuttable] = set()
        self._cancelled = False

    def cancel(self) -> None:
        """Break off every request of this scope, and refuse later ones.

        The callers that wait for them get an error (``RequestCancelled``, ``StreamInterrupted``
        or ``ServerUnreachable``) at once.
        """
        with self._lock:
            self._cancelled = True
            wires = list(self._wires)
        for wire in wires:
            wire.cut()

    @contextmanager
    def holding(self, wire: _Cuttable) -> Iterator[None]:
        """Make ``wire`` part of the scope while the block runs.

        Raises:
            RequestCancelled: the scope was cancelled before.
        """
        with self._lock:
            if self._cancelled:
                raise RequestCancelled("the request was not sent: its cancel_scope is cancelled")
            self._wires.add(wire)
        try:
            yield
        finally:
            with self._lock:
                self._wires.discard(wire)


_current: ContextVar[CancelScope | None] = ContextVar("rocm_cancel_scope", default=None)


def current_scope() -> CancelScope | None:
    """Return the scope that requests of this context belong to, or ``None``."""
    return _current.get()


@contextmanager
def cancel_scope() -> Iterator[CancelScope]:
    """Open a scope for the requests of this context, and of threads and tasks with copies of it.

    Yields:
        The scope. Leaving the block with an exception cancels it.
    """
    scope = CancelScope()
    token = _current.set(scope)
    try:
        yield scope
    except BaseException:
        scope.cancel()
        raise
    finally:
        _current.reset(token)


class Wire:
    """The connection of one request, which any thread can cut.

    The transport hands over the socket as soon as it is connected, long before the answer, which
    may take minutes to begin: our transports through the extension ``connected``, httpcore's
    through its extension ``trace``.

    Attributes:
        cause: why it was cut, if whoever did it knows better than the broken connection tells.
    """

    _CONNECTED = ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")

    def __init__(self) -> None:
        self.cause: RocmError | None = None
        self._socket: Any = None
        self._twin: socket.socket | None = None
        self._cut = False

    def connected(self, made: Any) -> None:
        """Take the socket of the connection; cut it if ``cut`` was called before."""
        self._socket = made
        if self._cut:
            self.cut()

    def extensions(self, trace: Callable[..., Any]) -> dict[str, Any]:
        """Return the extensions of the request, with the ``trace`` that fits its client."""
        return {"connected": self.connected, "trace": trace}

    def trace(self, event: str, facts: Mapping[str, Any]) -> None:
        """Take the socket from httpcore's trace, for ``httpx.Client``."""
        if event.endswith("start_tls.started") and isinstance(self._socket, socket.socket):
            # ``SSLContext.wrap_socket`` takes the descriptor away from it for the handshake.
            self._twin = self._socket.dup()
            self.connected(self._twin)
        if event.endswith(self._CONNECTED):
            self.connected(facts["return_value"].get_extra_info("socket"))
        if event.endswith(("start_tls.complete", "start_tls.failed")) and self._twin is not None:
            self._twin.close()

    async def atrace(self, event: str, facts: Mapping[str, Any]) -> None:
        """Take the socket from httpcore's trace, for ``httpx.AsyncClient``."""
        self.trace(event, facts)

    def close_copy(self) -> None:
        """Close this process's descriptor only; the connection itself stays open."""
        if isinstance(self._socket, socket.socket):
            self._socket.close()

    def cut(self, cause: RocmError | None = None) -> None:
        """Shut the connection down, now or as soon as it is made."""
        self.cause = self.cause or cause
        self._cut = True
        raw = self._socket
        if raw is not None:
            with contextlib.suppress(OSError):  # it ended by itself meanwhile
                try:
                    # That of ``SSLSocket`` forgets the encryption first: what another thread sends
                    # in between would go out as plain text (Lib/ssl.py).
                    plain = isinstance(raw, socket.socket)
                    (socket.socket if plain else type(raw)).shutdown(raw, socket.SHUT_RDWR)
                except TypeError:  # uvloop's sockets cannot
                    with socket.socket(fileno=os.dup(raw.fileno())) as twin:
                        twin.shutdown(socket.SHUT_RDWR)
