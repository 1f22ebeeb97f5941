"""The steps of a request beside calls and pauses, and how either color performs them.

A request is a procedure for ``run_steps`` (``rocm_core.client.steps``), written once. What it
holds until its answer has ended (its place in the queue, its slot, its stream) is in an exit
stack of the caller, which closes it however the answer ends.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    aclosing,
    closing,
)
from dataclasses import dataclass
from typing import Any, TypeVar

from rocm_core.backend import Connection
from rocm_core.client import Call, Deadline, StreamCall

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Ready:
    """Make the server ready; answered by the connection and the server's facts.

    The calls that follow go to this server, under the same deadline.
    """

    deadline: Deadline


@dataclass(slots=True, eq=False)
class Hold:
    """Enter a context that ends with the answer; answered by what entering it returns."""

    context: AbstractContextManager[Any]


@dataclass(slots=True, eq=False)
class Open:
    """Open a stream; answered by its first event, ``None`` if it has none, and the stream."""

    call: StreamCall
    deadline: Deadline


@dataclass(slots=True, eq=False)
class Release:
    """End everything that is held: the request is sent again."""


RequestStep = Call[Any] | Ready | Hold | Open | Release
RequestSteps = Generator[RequestStep | float, Any, T]  # a float is a pause, in seconds


class Sender:
    """Performs the steps of one request, blocking.

    Args:
        connection: returns the model's connection; raises ``ServerStopped`` once it is closed.
        held: takes what the request holds; ``None`` for a request that holds nothing.
    """

    _connection: Connection
    _deadline: Deadline

    def __init__(self, connection: Callable[[], Connection], held: ExitStack | None = None) -> None:
        self._open_connection = connection
        self._held = held or ExitStack()

    def perform(self, step: RequestStep) -> Any:
        """Perform one step and return its answer."""
        if isinstance(step, Call):
            return self._connection.client.call(step, self._deadline)
        if isinstance(step, Ready):
            self._connection, self._deadline = self._open_connection(), step.deadline
            return self._connection, self._connection.ready(None, step.deadline)
        if isinstance(step, Hold):
            return self._held.enter_context(step.context)
        if isinstance(step, Open):
            stream = self._connection.client.stream(step.call, step.deadline)
            self._held.enter_context(closing(stream))
            return next(stream, None), stream
        return self._held.close()


class AsyncSender:
    """``Sender`` for asyncio."""

    _connection: Connection
    _deadline: Deadline

    def __init__(
        self, connection: Callable[[], Connection], held: AsyncExitStack | None = None
    ) -> None:
        self._open_connection = connection
        self._held = held or AsyncExitStack()

    async def perform(self, step: RequestStep) -> Any:
        """Perform one step and return its answer."""
        if isinstance(step, Call):
            return await self._connection.aclient.call(step, self._deadline)
        if isinstance(step, Ready):
            self._connection, self._deadline = self._open_connection(), step.deadline
            return self._connection, await self._connection.aready(None, step.deadline)
        if isinstance(step, Hold):
            if isinstance(step.context, AbstractAsyncContextManager):  # a ticket: it waits
                return await self._held.enter_async_context(step.context)
            return self._held.enter_context(step.context)
        if isinstance(step, Open):
            stream = self._connection.aclient.stream(step.call, step.deadline)
            await self._held.enter_async_context(aclosing(stream))
            return await anext(stream, None), stream
        return await self._held.aclose()
