"""Options as plain data: how to generate, how to load, how to reach a server, how long to wait.

    load, generate, remote   the dataclasses; each field is declared once with ``option(...)``
    placement                the part of load that decides what goes to which GPU
    chat_template            what is given as a chat template: a text, a file or a name
    option, values           what a declaration holds, and the parser of each kind of value
    catalog                  every option by its flat name, in groups; where a model is

Everything that lists options is made from these declarations: the settings, the adapters' fields,
the command line's flags, the fields of a request, ``.env.example`` and the reference page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from rocm_core.config.chat_template import TemplateChoice, chosen_template
from rocm_core.config.generate import SAMPLING_FIELDS, GenerateConfig
from rocm_core.config.load import (
    CACHE_TYPES,
    Environment,
    FlashAttention,
    LazyMode,
    LoadConfig,
    LoadMode,
    RestartPolicy,
)
from rocm_core.config.option import Option, expanded, options_of
from rocm_core.config.placement import ALL_LAYERS, Engine, GpuLayers, SplitMode
from rocm_core.config.remote import Api, RemoteConfig, Timeouts
from rocm_core.errors import ConfigError

__all__ = [
    "CACHE_TYPES",
    "ALL_LAYERS",
    "SAMPLING_FIELDS",
    "Api",
    "Engine",
    "Environment",
    "FlashAttention",
    "GenerateConfig",
    "GpuLayers",
    "LazyMode",
    "LoadConfig",
    "LoadMode",
    "Option",
    "RemoteConfig",
    "RestartPolicy",
    "SplitMode",
    "TemplateChoice",
    "Timeouts",
    "chosen_template",
    "expanded",
    "options_of",
    "nearest",
    "override",
    "unknown_option",
]

C = TypeVar("C", bound=GenerateConfig | LoadConfig)


# A worse match misleads more often than it helps: num_gpu is not main_gpu.
_CLOSE = 0.8


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that ``name`` is a slip of, or ``None`` if none is near enough."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=_CLOSE)), None)


def unknown_option(name: str, known: Sequence[str], where: str) -> ConfigError:
    """Return the error for an option nobody knows, with the nearest known name as a hint."""
    near = nearest(name, known)
    hint = f" Did you mean {near!r}?" if near else f" Known: {', '.join(sorted(known))}."
    return ConfigError(f"{where} has no option {name!r}.{hint}")


def override(config: C, options: Mapping[str, Any]) -> C:
    """Return a copy of ``config`` with ``options`` set.

    Raises:
        ConfigError: an option is unknown or its value is wrong.
    """
    if not options:
        return config
    known = [f.name for f in fields(config)]
    for name in options:
        if name not in known:
            raise unknown_option(name, known, type(config).__name__)
    return replace(config, **options)
