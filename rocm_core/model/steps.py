"""The steps of a request beside calls and pauses, and how either color performs them.

A request is a procedure for ``run_steps`` (``rocm_core.client.steps``), written once. What it
holds until its answer has ended (its place in the queue, its slot, its stream) is in an exit
stack of the caller, which closes it however the answer ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent import futures
from concurrent.futures import Future
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
from rocm_core.client import Call, Deadline, Steps, StreamCall, arun_steps, run_steps
from rocm_core.model.loading import shown_load
from rocm_core.types import StreamEvent

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
class ThinkFirst:
    """Open two streams, one after the other: thoughts, and the answer that follows them.

    Answered as ``Open`` is: by the first event, and a stream of all.

    Attributes:
        call: opens the first stream, which is closed as soon as its thoughts have ended.
        deadline: of both.
        then: the procedure that returns the second call; it takes the thoughts.
    """

    call: StreamCall
    deadline: Deadline
    then: Callable[[str], Steps[StreamCall]]


@dataclass(slots=True, eq=False)
class Wait:
    """Wait for another request; answered by whether it was done in time.

    Attributes:
        done: has a result when it is; nobody can cancel it.
        seconds: the most to wait.
    """

    done: Future[None]
    seconds: float


@dataclass(slots=True, eq=False)
class Release:
    """End everything that is held: the request is sent again."""


RequestStep = Call[Any] | Ready | Hold | Open | ThinkFirst | Wait | Release
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
            with shown_load(self._connection) as progress:
                return self._connection, self._connection.ready(progress, step.deadline)
        if isinstance(step, Hold):
            return self._held.enter_context(step.context)
        if isinstance(step, (Open, ThinkFirst)):
            client = self._connection.client
            if isinstance(step, Open):
                stream = client.stream(step.call, step.deadline)
            else:
                stream = self._think_first(step)
            self._held.enter_context(closing(stream))
            return next(stream, None), stream
        return self._wait(step) if isinstance(step, Wait) else self._held.close()

    def _wait(self, step: Wait) -> bool:
        return bool(futures.wait([step.done], self._deadline.left(step.seconds)).done)

    def _think_first(self, step: ThinkFirst) -> Generator[StreamEvent, None, None]:
        client, thoughts = self._connection.client, ""
        with closing(client.stream(step.call, step.deadline)) as stream:
            for event in stream:
                if _has_begun(event):
                    break
                thoughts += event.reasoning
                yield event
        call = run_steps(step.then(thoughts), self.perform)
        with closing(client.stream(call, step.deadline)) as stream:
            yield from stream


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
            with shown_load(self._connection) as progress:
                return self._connection, await self._connection.aready(progress, step.deadline)
        if isinstance(step, Hold):
            if isinstance(step.context, AbstractAsyncContextManager):  # a ticket: it waits
                return await self._held.enter_async_context(step.context)
            return self._held.enter_context(step.context)
        if isinstance(step, (Open, ThinkFirst)):
            client = self._connection.aclient
            if isinstance(step, Open):
                stream = client.stream(step.call, step.deadline)
            else:
                stream = self._think_first(step)
            await self._held.enter_async_context(aclosing(stream))
            return await anext(stream, None), stream
        return await (self._wait(step) if isinstance(step, Wait) else self._held.aclose())

    async def _wait(self, step: Wait) -> bool:
        other = asyncio.wrap_future(step.done)
        try:
            done, _ = await asyncio.wait({other}, timeout=self._deadline.left(step.seconds))
            return bool(done)
        finally:
            other.cancel()

    async def _think_first(self, step: ThinkFirst) -> AsyncGenerator[StreamEvent, None]:
        client, thoughts = self._connection.aclient, ""
        async with aclosing(client.stream(step.call, step.deadline)) as stream:
            async for event in stream:
                if _has_begun(event):
                    break
                thoughts += event.reasoning
                yield event
        call = await arun_steps(step.then(thoughts), self.perform)
        async with aclosing(client.stream(call, step.deadline)) as stream:
            async for event in stream:
                yield event


def _has_begun(event: StreamEvent) -> bool:
    """Whether the thoughts have ended."""
    return bool(event.text or event.tool_calls or event.finish_reason)
