"""A ``TextModel`` whose server is a script: each request plays the next list of events and errors.

model = scripted_model([[ServerBusy("full")], [StreamEvent("a")]])
list(model.events(request, max_retries=1))       # waits, then yields "a"
model.connection.requests                        # the GenerationRequests, as they were sent
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from rocm_core import Connection, LoadConfig, ModelRef, TextModel, Timeouts
from rocm_core.client import GenerationRequest
from rocm_core.errors import RocmError
from rocm_core.types import ServerProps, StreamEvent

PROPS = ServerProps(0, 0, "", "", "", {}, {}, "", {})
Script = Sequence[Sequence[StreamEvent | RocmError]]


class ScriptedConnection(Connection):
    """A server that is ready at once, and counts how often it was asked whether it is."""

    def __init__(self, script: Script, props: ServerProps = PROPS) -> None:
        super().__init__(ModelRef("url", "http://scripted", "scripted"), LoadConfig())
        self.decides_only = False
        self.script = script
        self.requests: list[GenerationRequest] = []
        self.ready_calls = 0
        self._facts = props

    @property
    def client(self) -> Any:
        return self

    @property
    def aclient(self) -> Any:
        return _AsyncClient(self)

    @property
    def default_timeouts(self) -> Timeouts:
        return Timeouts()

    def ready(self, on_progress: Any = None, deadline: Any = None) -> ServerProps:
        self.ready_calls += 1
        self.props = self._facts
        return self._facts

    async def aready(self, on_progress: Any = None, deadline: Any = None) -> ServerProps:
        return self.ready()

    def release(self) -> None:
        pass

    def call(self, request: Any, timeouts: Any = None) -> Any:
        # Of the connection: what would be the HTTP call. Of the client: a question beside it.
        self.requests.append(request)
        return request

    def stream(self, call: Any, timeouts: Any) -> Generator[StreamEvent, None, None]:
        for step in self.script[len(self.requests) - 1]:
            if isinstance(step, RocmError):
                raise step
            yield step


class _AsyncClient:
    def __init__(self, connection: ScriptedConnection) -> None:
        self._connection = connection

    async def stream(self, call: Any, timeouts: Any) -> AsyncGenerator[StreamEvent, None]:
        for event in self._connection.stream(call, timeouts):
            yield event


def scripted_model(script: Script, props: ServerProps = PROPS) -> TextModel:
    """A model on a ``ScriptedConnection``."""
    return TextModel(ScriptedConnection(script, props))
