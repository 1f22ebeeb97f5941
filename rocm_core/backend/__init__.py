"""Floor 4: who can load a model here. One registry, filled by entry points."""

from __future__ import annotations

import functools
import logging
from importlib.metadata import EntryPoints, entry_points

from rocm_core.backend.base import Availability, Backend, Connection, OnProgress
from rocm_core.discover.refs import ModelRef
from rocm_core.errors import BackendUnavailable, ConfigError

__all__ = [
    "Availability",
    "Backend",
    "Connection",
    "OnProgress",
    "choose_backend",
    "get_backend",
    "list_backends",
]

GROUP = "rocm_core.backends"
# Tried in this order for backend="auto"; the CPU comes last because it always works.
_AUTO = ("rocm", "cpu")

log = logging.getLogger("rocm_core.backend")


def list_backends() -> list[str]:
    """The names of every registered backend, sorted."""
    return sorted({point.name for point in _registered()})


@functools.cache
def _registered() -> EntryPoints:
    # Reading the metadata of every installed package takes tens of milliseconds.
    return entry_points(group=GROUP)


@functools.cache
def get_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        ConfigError: nobody registered it.
    """
    for point in _registered():
        if point.name == name:
            backend: Backend = point.load()()
            return backend
    raise ConfigError(f"no backend {name!r}; there are: {', '.join(list_backends())}")


def choose_backend(name: str, ref: ModelRef) -> Backend:
    """The named backend; for ``"auto"`` (or ``""``) the first that can run ``ref`` here.

    Raises:
        BackendUnavailable: none can; the message lists every reason.
    """
    if name not in ("", "auto"):
        return get_backend(name)
    if ref.kind == "url":
        return get_backend("remote")
    reasons: list[str] = []
    for candidate in _AUTO:
        found = get_backend(candidate).probe()
        if found.ok:
            why = [*reasons, *found.reasons]
            log.info("backend %s%s", candidate, f" ({'; '.join(why)})" if why else "")
            return get_backend(candidate)
        reasons.append(f"{candidate}: {'; '.join(found.reasons)}")
    raise BackendUnavailable("no backend can run here. " + " ".join(reasons))
