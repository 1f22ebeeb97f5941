"""The registry of backends, the ways to run a model: ours, and those of other packages."""

from __future__ import annotations

import functools
import inspect
import logging
from importlib import import_module
from typing import TYPE_CHECKING

from rocm_core.backend.base import Availability, Backend, Connection, OnProgress
from rocm_core.config import LoadConfig
from rocm_core.discover.refs import ModelRef
from rocm_core.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = [
    "Availability",
    "Backend",
    "Connection",
    "OnProgress",
    "choose_backend",
    "get_backend",
    "list_backends",
    "probe_backend",
    "server_config",
]

GROUP = "rocm_core.backends"
# Also entry points of our own package, for whoever lists the group. Here they are found without
# reading the metadata of every installed package, which takes tens of milliseconds.
_OURS = {
    "rocm": ("rocm_core.backend.local", "RocmBackend"),
    "cpu": ("rocm_core.backend.local", "CpuBackend"),
    "remote": ("rocm_core.backend.remote", "RemoteBackend"),
}
# Tried in this order for backend="auto"; the CPU comes last because it always works.
_AUTO = ("rocm", "cpu")

log = logging.getLogger("rocm_core.backend")


def list_backends() -> list[str]:
    """Return the names of every registered backend, sorted."""
    return sorted({*_OURS, *(point.name for point in _registered())})


@functools.cache
def _registered() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


@functools.cache
def get_backend(name: str) -> Backend:
    """Return the backend of that name.

    Raises:
        ConfigError: no installed package registers one.
    """
    backend: Backend
    if name in _OURS:
        module, cls = _OURS[name]
        backend = getattr(import_module(module), cls)()
        return backend
    for point in _registered():
        if point.name == name:
            backend = point.load()()
            return backend
    raise ConfigError(f"no backend {name!r}; there are: {', '.join(list_backends())}")


def probe_backend(backend: Backend, config: LoadConfig) -> Availability:
    """Return whether ``backend`` can run a model with ``config`` on this machine.

    Raises:
        ConfigError: an option does not fit this machine.
    """
    try:
        inspect.signature(backend.probe).bind(config)
    except TypeError:  # another package's, written before ``probe`` took an argument
        return backend.probe()
    return backend.probe(config)


def choose_backend(ref: ModelRef, config: LoadConfig) -> Backend:
    """Return the backend that ``config`` names; for ``"auto"`` the first that can run it here.

    A URL goes to ``remote``. Anything else goes to ``rocm`` if the engine that ``config`` would run
    can use a GPU of this machine, else to ``cpu``.

    Raises:
        ConfigError: there is no backend of that name, or an option does not fit this machine.
        BackendUnavailable: none can; the message lists every reason.
    """
    if config.backend not in ("", "auto"):
        return get_backend(config.backend)
    if ref.kind == "url":
        return get_backend("remote")
    reasons: list[str] = []
    for candidate in _AUTO:
        found = probe_backend(get_backend(candidate), config)
        if found.ok:
            why = [*reasons, *found.reasons]
            log.info("backend %s%s", candidate, f" ({'; '.join(why)})" if why else "")
            return get_backend(candidate)
        reasons.append(f"{candidate}: {'; '.join(found.reasons)}")
    raise BackendUnavailable("no backend can run here. " + " ".join(reasons))


def server_config(ref: ModelRef, config: LoadConfig) -> LoadConfig:
    """Return ``config`` for a ``Server`` of one's own that runs as ``load_model`` would run it.

    Raises:
        ConfigError: the backend runs no server on this machine, or as ``choose_backend``.
        BackendUnavailable: the backend cannot run here.
    """
    from rocm_core.backend.local import LocalBackend

    backend = choose_backend(ref, config)
    if not isinstance(backend, LocalBackend):
        raise ConfigError(f"backend {backend.name!r} starts no server on this machine")
    return backend.server_config(config)
