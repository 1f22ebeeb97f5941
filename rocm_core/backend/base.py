"""What a backend is: somebody who can load a model here, and hands out a connection to it."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from rocm_core.backend.request_queue import Limits, RequestLimiter, RequestQueue, queue_for
from rocm_core.backend.slot_affinity import SlotAffinity
from rocm_core.client import AsyncClient, Chat, Client, GenerationRequest, Infill, StreamCall
from rocm_core.config import LoadConfig, RemoteConfig, Timeouts
from rocm_core.discover.refs import ModelRef
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
        self.limiter = RequestLimiter(RequestQueue())
        self.affinity: SlotAffinity | None = None

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

    def call(self, request: GenerationRequest) -> StreamCall:
        """Return the HTTP call for a request; a native server gets a chat as a completion."""
        if isinstance(request, Infill):
            return request.native()
        if isinstance(request, Chat) or self.completion_dialect == "openai":
            return request.openai(self.model_name)
        return request.native()

    def join_queue(self, server: Hashable, slots: int) -> None:
        """Queue with everybody in this process who uses the same server.

        Args:
            server: what stands for it: equal for all who share it.
            slots: how many requests it answers at once; 0 if unknown, then nobody waits.
        """
        config = self.config
        self.limiter.queue = queue_for(server)
        self.limiter.limits = Limits(
            config.max_in_flight or slots or None, config.max_queue, config.queue_timeout
        )

    @contextlib.contextmanager
    def with_slot(self, request: GenerationRequest) -> Iterator[GenerationRequest]:
        """The request, with the slot that it should go to, while it is asked."""
        if self.affinity is None:
            yield request
            return
        ours = isinstance(request, Chat) and request.fields.get("n", 1) == 1
        config = request.config
        if config.id_slot is not None or config.cache_prompt is False:
            ours = False
        messages = request.messages if ours and isinstance(request, Chat) else None
        with self.affinity.assign(messages) as slot:
            if slot is not None:
                request = replace(request, config=replace(config, id_slot=slot))
            yield request

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
