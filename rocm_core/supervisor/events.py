"""The states of a server, and the events its observers see. Plain data."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rocm_core.errors import RocmError


class State(enum.Enum):
    """Where a server is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The server is in another state now; ``failure`` tells why, if it is FAILED."""

    state: State
    failure: RocmError | None = None


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """``share`` (0..1) of the load is done, where the build reports it."""

    share: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """The process printed a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Restarting:
    """A server that crashed is started again.

    Attributes:
        attempt: crashes within the window so far.
        delay: seconds of backoff before the start.
        reason: the last crash, in words.
    """

    attempt: int
    delay: float
    reason: str


ServerEvent = StateChanged | LoadProgress | LogLine | Restarting
