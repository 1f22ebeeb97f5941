"""What a backend is: somebody who can load a model here, and hands out a connection to it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rocm_core.client import AsyncClient, Client
from rocm_core.config import LoadConfig, Timeouts
from rocm_core.refs import ModelRef
from rocm_core.types import ServerProps

OnProgress = Callable[[float], None]


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

    @property
    def model_name(self) -> str | None:
        """What the ``model`` field of a request should say."""
        return self.config.model_name

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
        self, ref: ModelRef, config: LoadConfig, api_key: str | None = None
    ) -> Connection:
        """A connection to the model; starts nothing yet.

        Raises:
            BackendUnavailable: it cannot run here.
            ConfigError: the reference or an option does not fit this backend.
        """
        ...
