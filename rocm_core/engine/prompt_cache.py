"""Bound llama-server's prompt cache by what the machine has when the server starts.

Like the choice of GPUs, this is never part of a shared server's key: two programs that leave
``prompt_cache`` on auto share a server, whatever memory was available to each.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from rocm_core.config import LoadConfig
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.gpu_placement import choose_gpus
from rocm_core.errors import ConfigError, RocmError
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.gpu import available_memory
from rocm_core.gpu.files import read_int, read_text
from rocm_core.memory.prompt_cache import prompt_cache_bytes

log = logging.getLogger("rocm_core.server")

FLAGS = ("--cache-ram", "-cram")
_VARIABLE = "LLAMA_ARG_CACHE_RAM"


def with_prompt_cache(ref: ModelRef, config: LoadConfig, flags: frozenset[str]) -> LoadConfig:
    """Return ``config`` with a number of bytes instead of ``prompt_cache="auto"``.

    auto stays, and nothing is sent, if the build has no ``--cache-ram``, or if ``extra_args`` or
    ``environment`` set it by llama-server's own name.

    Args:
        ref: the model; of a file the header is read.
        config: how to run the server, its GPUs chosen.
        flags: the flags that the engine understands (``Engine.flags``).
    """
    by_hand = _VARIABLE in dict(config.environment) or any(f in FLAGS for f in config.extra_args)
    if config.prompt_cache != "auto" or FLAGS[0] not in flags or by_hand:
        return config
    beside_model = not _on_cards(config)
    size = prompt_cache_bytes(_facts(ref), config, host_memory(), beside_model=beside_model)
    log.info("%s keeps up to %d MiB of earlier prompts (prompt_cache)", ref.name, size >> 20)
    return replace(config, prompt_cache=size)


def prompt_cache_of(arguments: Sequence[str]) -> int | None:
    """Return the bound in bytes that a server's command line sets.

    ``None`` if it sets none: the build then has its own default.
    """
    for flag, value in reversed(list(pairwise(arguments))):
        if flag in FLAGS and value.isdigit():
            return int(value) << 20
        if flag in FLAGS:
            return None
    return None


def host_memory(root: str | os.PathLike[str] = "/") -> int | None:
    """Return the bytes of host memory that a new process can have; ``None`` if unknown.

    The kernel's ``MemAvailable``, or the limit of this process's control group if that is less
    (Linux ``Documentation/admin-guide/cgroup-v2.rst``, ``memory.max``): a container sees the whole
    machine in ``/proc/meminfo``.
    """
    known = [available_memory(root), *_group_limits(Path(root))]
    return min((size for size in known if size is not None), default=None)


def _group_limits(root: Path) -> list[int | None]:
    top = root / "sys/fs/cgroup"
    named = (read_text(root / "proc/self/cgroup") or "").rpartition("0::/")[2].splitlines()
    group = top / (named[0] if named else "")
    groups = [group, *group.parents]
    return [read_int(each / "memory.max") for each in groups if each.is_relative_to(top)]


def _on_cards(config: LoadConfig) -> bool:
    """Whether the model goes to GPUs with memory of their own; ``False`` if that is unknown."""
    if config.backend == "cpu" or config.gpu_layers == 0:
        return False
    try:
        chosen = list(choose_gpus(config))
    except ConfigError:  # an engine of another GPU API counts other devices
        return False
    return bool(chosen) and not any(gpu.uses_host_memory for gpu in chosen)


def _facts(ref: ModelRef) -> GGUFInfo | None:
    if ref.kind != "file":
        return None
    try:
        return read_gguf(ref.value)
    except (RocmError, OSError):  # the server itself says what is wrong with it
        return None
