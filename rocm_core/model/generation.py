"""How a request becomes an answer: a server that is ready, a place at it, its stream of events.

A server that dies before the first event is replaced, and asked once more. An answer ends at a
stop id as well, which llama-server itself cannot do.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType

from rocm_core.backend import Connection
from rocm_core.client import Chat, GenerationRequest
from rocm_core.config import Timeouts
from rocm_core.errors import ServerDied
from rocm_core.model.token_ids import StopIds, stopped_by_id
from rocm_core.types import StreamEvent


class LastError:
    """Remembers the last exception that left a ``with`` block; any number may be open at once."""

    error: BaseException | None = None

    def __enter__(self) -> None:
        """Nothing is kept of where it was entered."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):  # a consumer that stops early is no error
            self.error = error


class Generation:
    """Generation of one model.

    Args:
        connection: the server at this moment; raises ``ServerStopped`` if the model was closed.
        timeouts: limits per phase, unless a request has its own.
    """

    def __init__(
        self, connection: Callable[[], Connection], timeouts: Timeouts, last_error: LastError
    ) -> None:
        self._connection = connection
        self.timeouts = timeouts
        self._last_error = last_error
        self._stop_ids = StopIds()

    def events(self, request: GenerationRequest) -> Generator[StreamEvent, None, None]:
        """Every event of the answer; any ``RocmError`` may be raised while it is read."""
        stop_ids = frozenset(request.config.stop_token_ids)
        with self._last_error, contextlib.ExitStack() as held:
            event, rest = self._begin(request, held)
            while event is not None:
                if stop_ids and not stop_ids.isdisjoint(event.token_ids):
                    yield stopped_by_id(event)
                    return
                yield event
                event = next(rest, None)

    def _begin(
        self, request: GenerationRequest, held: contextlib.ExitStack, *, again: bool = True
    ) -> tuple[StreamEvent | None, Generator[StreamEvent, None, None]]:
        """The first event, if any, and the rest; of the successor if the server died before it.

        ``held`` gets what the answer holds: a place at the server, and the stream.
        """
        with contextlib.ExitStack() as mine:
            try:
                connection = self._connection()
                connection.ready()
                for id_ in self._stop_ids.unknown(request.config):
                    self._stop_ids.learn(id_, connection.client.detokenize([id_]))
                self._stop_ids.refuse_hidden(request.config)
                mine.enter_context(connection.limiter.ticket())
                asked = mine.enter_context(connection.with_slot(request))
                if isinstance(asked, Chat) and connection.chat_dialect == "native":
                    asked = asked.completion(connection.client.call(asked.template()))
                limits = self.timeouts.of(request.config)
                stream = connection.client.stream(connection.call(asked), limits)
                mine.enter_context(contextlib.closing(stream))
                first = next(stream, None)
                held.enter_context(mine.pop_all())
                return first, stream
            except ServerDied:
                if not again:
                    raise
        return self._begin(request, held, again=False)

    async def aevents(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """``events`` for asyncio."""
        stop_ids = frozenset(request.config.stop_token_ids)
        with self._last_error:
            async with contextlib.AsyncExitStack() as held:
                event, rest = await self._abegin(request, held)
                while event is not None:
                    if stop_ids and not stop_ids.isdisjoint(event.token_ids):
                        yield stopped_by_id(event)
                        return
                    yield event
                    event = await anext(rest, None)

    async def _abegin(
        self, request: GenerationRequest, held: contextlib.AsyncExitStack, *, again: bool = True
    ) -> tuple[StreamEvent | None, AsyncGenerator[StreamEvent, None]]:
        """``_begin`` for asyncio."""
        async with contextlib.AsyncExitStack() as mine:
            try:
                connection = self._connection()
                await connection.aready()
                for id_ in self._stop_ids.unknown(request.config):
                    self._stop_ids.learn(id_, await connection.aclient.detokenize([id_]))
                self._stop_ids.refuse_hidden(request.config)
                await mine.enter_async_context(connection.limiter.ticket())
                asked = mine.enter_context(connection.with_slot(request))
                if isinstance(asked, Chat) and connection.chat_dialect == "native":
                    asked = asked.completion(await connection.aclient.call(asked.template()))
                limits = self.timeouts.of(request.config)
                stream = connection.aclient.stream(connection.call(asked), limits)
                await mine.enter_async_context(contextlib.aclosing(stream))
                first = await anext(stream, None)
                await held.enter_async_context(mine.pop_all())
                return first, stream
            except ServerDied:
                if not again:
                    raise
        return await self._abegin(request, held, again=False)
