"""What a backend is: it loads models, and gives a connection to the server of each."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from rocm_core.backend.request_queue import Limits, RequestLimiter, RequestQueue, queue_for
from rocm_core.backend.slot_affinity import SlotAffinity
from rocm_core.client import (
    AsyncClient,
    Chat,
    Client,
    Deadline,
    GenerationRequest,
    Infill,
    Steps,
    StreamCall,
)
from rocm_core.config import Api, LoadConfig, RemoteConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.types import ServerProps

OnProgress = Callable[[float], None]
Dialect = Literal["openai", "native"]


@dataclass(slots=True, eq=False)
class Availability:
    """Whether a backend can run a model on this machine.

    Attributes:
        ok: it can.
        reasons: why it cannot; or what it would use, and what to know about that.
    """

    ok: bool
    reasons: tuple[str, ...] = ()


class Connection(abc.ABC):
    """The connection of one ``TextModel`` to its server, which answers once ``ready`` has returned.

    Attributes:
        ref: the model.
        config: how it is loaded.
        props: the server's facts (``GET /props``), read by ``ready``; ``None`` before.
        limiter: lets the requests of this connection into the queue of its server.
        affinity: which slot a conversation goes to; ``None`` where the server chooses.
        decides_only: whether the model answers typed questions and nothing else; ``None`` while
            nobody has asked the server.
    """

    def __init__(self, ref: ModelRef, config: LoadConfig) -> None:
        self.ref = ref
        self.config = config
        self.props: ServerProps | None = None
        self.limiter = RequestLimiter(RequestQueue())
        self.affinity: SlotAffinity | None = None
        self.decides_only: bool | None = None

    @property
    def model_name(self) -> str | None:
        """The value for the field ``model`` of a request; ``None`` for none."""
        return self.config.model_name

    @property
    def is_alive(self) -> bool:
        """Whether the server is ready, as far as is known without I/O."""
        return self.props is not None

    @property
    def chat_dialect(self) -> Dialect:
        """Which endpoint takes conversations; known after ``ready``."""
        return "openai"

    @property
    def completion_dialect(self) -> Dialect:
        """Which endpoint takes raw prompts; known after ``ready``."""
        return "native"

    @property
    def api(self) -> Api:
        """Which dialect was asked for (``api=``); ``"auto"`` unless the server is remote."""
        return "auto"

    @property
    def pid(self) -> int | None:
        """Process id of the server; ``None`` if it is not ours, or does not run."""
        return None

    @property
    def on_this_machine(self) -> bool:
        """Whether paths that the server tells mean files of this machine; known without I/O."""
        return True

    def answers(self, timeout: float = 1.0) -> bool:
        """Return whether the server can take a request now.

        Args:
            timeout: seconds to wait for a server that somebody else runs, which is sent one small
                request; a server of our own is watched all the time.
        """
        return self.is_alive

    def call_steps(self, request: GenerationRequest) -> Steps[StreamCall]:
        """Return the HTTP call for a request; a procedure for ``run_steps``.

        A server without chat endpoint is asked first for the prompt that its template makes of a
        conversation.

        Raises:
            ConfigError: the server's endpoint cannot do what the request says.
        """
        if isinstance(request, Chat) and self.chat_dialect == "native":
            request = request.completion((yield request.template()))
        return self.call(request)

    @contextlib.contextmanager
    def naming_options(self, request: GenerationRequest) -> Iterator[None]:
        """Add to the error of a missing endpoint the option that helps, if there is one."""
        yield

    def call(self, request: GenerationRequest) -> StreamCall:
        """Return the HTTP call for a request.

        A ``Chat`` for a server with native endpoints only is a ``Completion`` by now.

        Raises:
            ConfigError: the server's endpoint cannot do what the request says.
        """
        if isinstance(request, Infill):
            return request.native()
        if isinstance(request, Chat) or self.completion_dialect == "openai":
            return request.openai(self.model_name)
        return request.native()

    def join_queue(self, server: Hashable, slots: int) -> None:
        """Share one request queue with every connection of this process to the same server.

        Args:
            server: the key of the server, equal for all connections to it.
            slots: how many requests it works on at once; 0 if unknown: then none waits here.
        """
        config = self.config
        self.limiter.queue = queue_for(server)
        self.limiter.limits = Limits(
            config.max_in_flight or slots or None, config.max_queue, config.queue_timeout
        )

    @contextlib.contextmanager
    def with_slot(self, request: GenerationRequest) -> Iterator[GenerationRequest]:
        """Reserve the slot for a request until its answer has ended.

        Yields:
            The request, with the slot's number if this program chooses it.
        """
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
        """Limits per phase of a request that fit this kind of server."""

    @abc.abstractmethod
    def ready(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ServerProps:
        """Make the server ready and return its facts.

        A server of our own is started, or replaced if it died, and its load is waited for. The
        facts (``GET /props``) are read once per server process. Cheap once the server is ready.

        Args:
            on_progress: called with the share of the load done (0..1) as it grows.
            deadline: of the call that needs the server: how long this caller waits. ``None``: the
                ``default_timeouts``, from now on.

        Raises:
            RequestTimeout: the deadline passed. A start goes on if another caller waits for it.
            RocmError: it cannot be started or reached; ``ServerStopped`` after ``release``.
        """

    @abc.abstractmethod
    async def aready(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ServerProps:
        """``ready`` without blocking the event loop."""

    @abc.abstractmethod
    def release(self) -> None:
        """Release the server: one of our own stops with its last connection. Idempotent."""


class Backend(Protocol):
    """A way to run models. Entry points of the group ``rocm_core.backends`` add more."""

    name: str

    def available(self) -> bool:
        """Return whether it can run on this machine."""
        ...

    def probe(self, config: LoadConfig | None = None) -> Availability:
        """Return whether it can run a model on this machine, and the reasons.

        Args:
            config: how the model would be loaded; default: ``LoadConfig()``. A backend whose
                ``probe`` takes no argument is asked without it.
        """
        ...

    def load_model(
        self, ref: ModelRef, config: LoadConfig, remote: RemoteConfig | None = None
    ) -> Connection:
        """Return a connection to the model; nothing is started yet.

        Args:
            ref: which model, resolved.
            config: how to load it.
            remote: how to reach a server that runs already; ``None`` for any other.

        Raises:
            BackendUnavailable: it cannot run here.
            ConfigError: the reference or an option does not fit this backend.
        """
        ...
