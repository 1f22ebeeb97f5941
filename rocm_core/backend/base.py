"""What a backend is: somebody who can load a model here, and hands out a connection to it."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from rocm_core.backend.admission import Admission, Gate, Limits, gate_of
from rocm_core.backend.seats import Seats
from rocm_core.client import AsyncClient, Chat, Client, Infill, Question, StreamCall
from rocm_core.config import LoadConfig, RemoteConfig, Timeouts
from rocm_core.refs import ModelRef
from rocm_core.types import ServerProps

OnProgress = Callable[[float], None]
Dialect = Literal["openai", "native"]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run here. ``reasons`` explain a no, and may qualify a yes."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Connection(abc.ABC):
    """A loaded (or loadable) model: a server that answers once ``ready`` has returned."""

    def __init__(self, ref: ModelRef, config: LoadConfig) -> None:
        self.ref = ref
        self.config = config
        self.props: ServerProps | None = None
        self.admission = Admission(Gate())
        self.seats: Seats | None = None

    @property
    def model_name(self) -> str | None:
        """What the ``model`` field of a request should say."""
        return self.config.model_name

    @property
    def is_alive(self) -> bool:
        """Ready, and not known to be gone; no I/O."""
        return self.props is not None

    @property
    def chat_dialect(self) -> Dialect:
        """The endpoints for conversations; known after ``ready``."""
        return "openai"

    @property
    def completion_dialect(self) -> Dialect:
        """The endpoints for raw prompts; known after ``ready``."""
        return "native"

    def call(self, question: Question) -> StreamCall:
        """The request for a question; a chat must be a completion by now on native servers."""
        if isinstance(question, Infill):
            return question.native()
        if isinstance(question, Chat) or self.completion_dialect == "openai":
            return question.openai(self.model_name)
        return question.native()

    def open_gate(self, server: Hashable, slots: int) -> None:
        """Queue with everybody in this process who uses the same server.

        Args:
            server: what stands for it: equal for all who share it.
            slots: how many requests it answers at once; 0 if unknown, then nobody waits.
        """
        config = self.config
        self.admission.gate = gate_of(server)
        self.admission.limits = Limits(
            config.max_in_flight or slots or None, config.max_queue, config.queue_timeout
        )

    @contextlib.contextmanager
    def seated(self, question: Question) -> Iterator[Question]:
        """The question, with the slot that it should go to, while it is asked."""
        if self.seats is None:
            yield question
            return
        ours = isinstance(question, Chat) and question.fields.get("n", 1) == 1
        config = question.config
        if config.id_slot is not None or config.cache_prompt is False:
            ours = False
        messages = question.messages if ours and isinstance(question, Chat) else None
        with self.seats.seat(messages) as slot:
            if slot is not None:
                question = replace(question, config=replace(config, id_slot=slot))
            yield question

    @property
    @abc.abstractmethod
    def client(self) -> Client:
        """The blocking client; valid after ``ready``."""

    @property
    @abc.abstractmethod
    def aclient(self) -> AsyncClient:
        """The asyncio client; valid after ``aready``."""

    @property
    @abc.abstractmethod
    def default_timeouts(self) -> Timeouts:
        """Limits that fit this kind of server."""

    @abc.abstractmethod
    def ready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """Make it answer (start it, wait for its load) and return its facts, read once."""

    @abc.abstractmethod
    async def aready(self, on_progress: OnProgress | None = None) -> ServerProps:
        """``ready`` without blocking the event loop."""

    @abc.abstractmethod
    def release(self) -> None:
        """Give it back; a server nobody holds any more stops. Idempotent."""


class Backend(Protocol):
    """A way to run models. Entry points of the group ``rocm_core.backends`` add more."""

    name: str

    def available(self) -> bool:
        """Whether it can run on this machine."""
        ...

    def probe(self) -> Availability:
        """Whether, and the reasons."""
        ...

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """A connection to the model; starts nothing yet.

        Args:
            remote: how to reach a server that runs already; for no other kind.

        Raises:
            BackendUnavailable: it cannot run here.
            ConfigError: the reference or an option does not fit this backend.
        """
        ...
