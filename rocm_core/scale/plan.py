"""``Replicas``: one model, how to load it, and how many replicas there are. Knows no Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rocm_core.config import LoadConfig
from rocm_core.config.values import is_address
from rocm_core.errors import ConfigError

# llama-server's own number of slots without -np (tools/server/server.cpp).
_AUTO_SLOTS = 4
# Requests that one replica holds, for each of its slots: those above the first wait inside
# llama-server for a slot, where the conversation's earlier turns are.
_HELD_FOR_EACH_SLOT = 8
# Fewer than the HTTP threads that the supervisor gives llama-server: each request holds one.
_MOST_HELD = 100
_SCALING = ("min_replicas", "max_replicas")
_LOCAL = ("keep_alive", "port", "max_in_flight", "max_queue", "queue_timeout")


@dataclass(frozen=True)
class Replicas:
    """One model and its replicas.

    Attributes:
        ref: GGUF file, directory, ``org/repo[:quant]`` or ``"demo"``. A path must lead to the same
            model on every node.
        load: how each replica loads it. What concerns one program alone (``keep_alive``, ``port``,
            ``max_in_flight``, ``max_queue``, ``queue_timeout``) is refused.
        replicas: how many, if their number is fixed.
        autoscaling: ``(least, most)`` replicas, or Ray Serve's ``AutoscalingConfig`` as a mapping.
            Unless it says otherwise, each replica is to have as many requests as it has slots.
        gpus_per_replica: GPUs that Ray gives each replica; 0: it runs on the CPU, and sees no GPU.
        cpus_per_replica: CPUs that Ray counts for each replica. They are not reserved.
        name: the name that requests carry as ``model``; default: that of the file.
        max_queued: requests that wait for a replica at each front before one more gets 503.
        drain_seconds: how long a replica that is to stop goes on with its streams.
        health_seconds: pause between two health checks. After three failures it is replaced.

    Raises:
        ConfigError: an option is out of range, or two exclude each other.
    """

    ref: str
    load: LoadConfig = field(default_factory=LoadConfig)
    replicas: int | None = None
    autoscaling: tuple[int, int] | Mapping[str, Any] | None = None
    gpus_per_replica: float = 1.0
    cpus_per_replica: float = 1.0
    name: str = ""
    max_queued: int = 1000
    drain_seconds: float = 120.0
    health_seconds: float = 2.0

    def __post_init__(self) -> None:
        if is_address(self.ref):
            raise ConfigError(f"{self.ref} is a running server: replicas start their own")
        object.__setattr__(self, "ref", _absolute(self.ref))
        object.__setattr__(self, "name", self.name or self.load.model_name or _name_of(self.ref))
        object.__setattr__(self, "load", replace(self.load, model_name=self.name))
        if self.replicas is not None and self.autoscaling is not None:
            raise ConfigError("replicas and autoscaling exclude each other; give one")
        if self.replicas is not None and self.replicas < 1:
            raise ConfigError(f"replicas must be 1 or more, not {self.replicas}")
        for option in ("gpus_per_replica", "cpus_per_replica", "max_queued", "drain_seconds"):
            if getattr(self, option) < 0:
                raise ConfigError(f"{option} must be 0 or more, not {getattr(self, option)}")
        if self.health_seconds <= 0:
            raise ConfigError(f"health_seconds must be above 0, not {self.health_seconds}")
        self._check_load()
        _ = self.scaling

    def _check_load(self) -> None:
        plain = LoadConfig()
        for option in _LOCAL:
            if getattr(self.load, option) != getattr(plain, option):
                raise ConfigError(
                    f"{option} is for one program's own server: a replica has none of it. Remove "
                    "it; max_queued= bounds the requests that wait."
                )
        if not self.gpus_per_replica and (self.load.require_gpu or self.load.backend == "rocm"):
            raise ConfigError(
                "the load asks for a GPU, and gpus_per_replica=0 gives a replica none: give "
                "gpus_per_replica=1, or remove require_gpu and backend"
            )
        self.load.check_rpc_servers()

    @property
    def slots(self) -> int:
        """Slots of each replica: how many requests it computes at once."""
        return self.load.parallel or _AUTO_SLOTS

    @property
    def most_held(self) -> int:
        """Requests that a replica takes: those on its slots, and those that wait for one there."""
        return max(self.slots, min(_MOST_HELD, self.slots * _HELD_FOR_EACH_SLOT))

    @property
    def scaling(self) -> dict[str, Any] | None:
        """Ray Serve's ``autoscaling_config``; ``None`` if the number is fixed."""
        given = self.autoscaling
        if given is None:
            return None
        if not isinstance(given, Mapping):
            given = dict(zip(_SCALING, given, strict=True))
        least, most = (given.get(key) for key in _SCALING)
        if not isinstance(least, int) or not isinstance(most, int) or not 0 <= least <= most:
            raise ConfigError(
                "autoscaling takes (least, most), or a mapping with min_replicas and max_replicas, "
                f"not {self.autoscaling!r}"
            )
        return {"target_ongoing_requests": self.slots, **given}


def _absolute(ref: str) -> str:
    path = Path(os.fspath(ref)).expanduser()
    return str(path.resolve()) if path.exists() and ref != "demo" else os.fspath(ref)


def _name_of(ref: str) -> str:
    path = Path(ref)
    return path.stem if path.suffix.lower() == ".gguf" else ref.rpartition("/")[2]
