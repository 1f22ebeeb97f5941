"""What the settings say for one model, under the arguments that were given.

Which model, and where, is one decision: whoever names a model or a base URL as an argument gets
neither of them from the settings. A key or a header of the settings goes to the base URL of the
settings only, or to any if they name none; and never to one that a less trusted place names.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rocm_core.config import (
    GenerateConfig,
    LoadConfig,
    RemoteConfig,
    Timeouts,
    options_of,
    override,
    unknown_option,
)
from rocm_core.config.values import is_address, with_scheme
from rocm_core.errors import ConfigError
from rocm_core.settings.names import ARGUMENT, CREDENTIALS, ENVIRONMENT, PROJECT, variable_of

LOAD = tuple(name for name, found in options_of(LoadConfig).items() if found.setting)
REMOTE = tuple(options_of(RemoteConfig))
# How to generate, as far as it makes sense for every request; the rest belongs to one call.
GENERATE = tuple(name for name, found in options_of(GenerateConfig).items() if found.setting)
# Names of the limits as the adapters have them → fields of Timeouts.
LIMITS = {found.name: attribute for attribute, found in options_of(Timeouts).items()}
TARGET = ("model", "base_url")
# Load options that mean something for a server that runs already.
_FOR_URLS = (
    *("stall_timeout", "max_in_flight", "max_queue", "queue_timeout"),
    *("media_root", "media_max_size"),
)


def is_url(ref: str | os.PathLike[str] | None) -> bool:
    """Whether a model reference is the address of a running server."""
    return isinstance(ref, str) and is_address(ref)


@dataclass(frozen=True)
class Settings:
    """What the environment and the files set.

    Attributes:
        values: option to value; only those that are set. Not in ``repr``: keys are among them.
        sources: option to where its value came from, for example ``LLAMA_ROCM_PARALLEL``.
        levels: option to how far that place is trusted (``settings.names``: ``ENVIRONMENT``,
            ``USER``, ``PROJECT``).
        untrusted: option to the project's file that gives it in vain: nobody has trusted it.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)
    untrusted: Mapping[str, str] = field(default_factory=dict)

    def target(self) -> tuple[str | None, str | None]:
        """``(model, base_url)``, from the highest source that names either of them."""
        model, url = self.values.get("model"), self.values.get("base_url")
        if model and url and self._level("model") != self._level("base_url"):
            higher = min(TARGET, key=self._level)
            return (model, None) if higher == "model" else (None, url)
        return model, url

    def _level(self, name: str) -> int:
        # The environment and its .env stand for one source.
        source = self.sources[name]
        return list(dict.fromkeys(_place(s) for s in self.sources.values())).index(_place(source))

    def load(self, url: bool, given: Mapping[str, Any]) -> dict[str, Any]:
        """Load options under the ``given`` ones."""
        names = _FOR_URLS if url else LOAD
        if url:
            self._warn_of_unused()
        values = {n: self.values[n] for n in names if n in self.values and n not in given}
        if self.sources.get("server_path") == "ROCM_LLAMA_SERVER_PATH":
            values.pop("server_path", None)  # find_engine reads that, and names it in its errors
        if given.get("engine", values.get("engine")) == "embedded":
            values.pop("server_path", None)  # it runs no program
        if "server_path" in given and values.get("engine") == "embedded":
            values.pop("engine")
        return values

    def _warn_of_unused(self) -> None:
        unused = [
            f"{name} ({source})"
            for name in LOAD
            if name in self.values
            and name not in _FOR_URLS
            and (name != "backend" or self.values[name] not in ("auto", "remote"))
            # That variable is the machine's, for whatever program starts a server.
            and (source := self.sources.get(name, "settings")) != "ROCM_LLAMA_SERVER_PATH"
        ]
        if unused:
            warnings.warn(
                f"{', '.join(unused)}: no effect on a server that already runs", stacklevel=4
            )

    def remote(
        self, url: str, given: Mapping[str, Any], named_by: str | None = None
    ) -> dict[str, Any]:
        """How to reach ``url``, under the ``given`` options.

        Args:
            url: the server.
            given: the arguments; those that are ``None`` count as not given.
            named_by: the option of the settings that names the URL (``base_url`` or ``model``);
                ``None``: an argument names it.

        Raises:
            ConfigError: a key or a header, of the settings or given, would go to a URL that a less
                trusted place names.
        """
        place = ARGUMENT if named_by is None else self._trust(named_by)
        found = {
            name: self.values[name]
            for name in REMOTE
            if name in self.values and given.get(name) is None and self._is_for(name, url)
        }
        for name in CREDENTIALS:
            source = self.sources.get(name, "settings") if name in found else None
            sent = found[name] if source else given.get(name)
            if sent and place > (self._trust(name) if source else ARGUMENT):
                raise self._misled(name, source, named_by or "")
        return found

    def _trust(self, name: str) -> int:
        return self.levels.get(name, ENVIRONMENT)

    def _is_for(self, name: str, url: str) -> bool:
        """Whether an option belongs to ``url``: its own place, or a better one, names no other."""
        own = self.values.get("base_url")
        if not own or self._trust("base_url") > self._trust(name):
            return True
        return _address(own) == _address(url)

    def _misled(self, name: str, source: str | None, named_by: str) -> ConfigError:
        where = self.sources.get(named_by, "the settings")
        trust = self._trust(named_by) == PROJECT
        return ConfigError(
            f"{name} is {f'from {source}' if source else 'an argument'}, but the URL of the server "
            f"is from {where}, which is trusted less: what identifies you goes only to a URL that "
            "the same or a more trusted place names (argument, environment, your own file, "
            f"project). Give the URL as an argument or in {variable_of('base_url')}, or {name} "
            f"beside the URL{', or trust that folder: llama-rocm trust' if trust else ''}."
        )

    def limits(self) -> dict[str, float | None]:
        """Fields of ``Timeouts``."""
        return {to: self.values[name] for name, to in LIMITS.items() if name in self.values}

    def generate(self) -> dict[str, Any]:
        """Fields of ``GenerateConfig``."""
        return {name: self.values[name] for name in GENERATE if name in self.values}

    def environment(self) -> Mapping[str, str]:
        """The environment for ``resolve_ref``, with the model directory of the settings."""
        if "model_dir" not in self.values:
            return os.environ
        return {**os.environ, "ROCM_MODEL_DIR": str(self.values["model_dir"])}


@dataclass(frozen=True)
class Plan:
    """Everything about one model to load.

    Attributes:
        limits: fields of ``Timeouts``, as the arguments and the settings give them.
    """

    ref: str | os.PathLike[str]
    config: LoadConfig
    remote: RemoteConfig
    generate: GenerateConfig
    limits: Mapping[str, float | None]
    settings: Settings

    def timeouts(self, default: Timeouts) -> Timeouts:
        """Return the limits over the ``default`` ones."""
        return replace(default, **self.limits)


def plan(
    ref: str | os.PathLike[str] | None,
    config: LoadConfig | None,
    generate: GenerateConfig | None,
    options: Mapping[str, Any],
    settings: Settings,
) -> Plan:
    """The arguments of ``load_model`` over the settings.

    A ``config`` or ``generate`` object is complete: the settings say nothing under it.

    Raises:
        ConfigError: no model, an unknown option, or one that does not fit.
    """
    for name in TARGET:
        if name in options:
            raise ConfigError(
                f"load_model has no option {name!r}: its first argument is the model, or the URL "
                "of a running server; model_name= says which of that server's models"
            )
    for name in options:
        if name not in (*LOAD, *REMOTE, *LIMITS, "model_name"):
            known = [*LOAD, *REMOTE, *LIMITS, "model_name", "timeouts", "generate"]
            raise unknown_option(name, known, "load_model")
    load = {n: value for n, value in options.items() if n not in REMOTE and n not in LIMITS}
    remote = {name: value for name, value in options.items() if name in REMOTE}
    limits = {to: options[name] for name, to in LIMITS.items() if name in options}
    named_by = None
    if ref is None:
        model, url = settings.target()
        ref, named_by = url or model, "base_url" if url else "model"
        if ref is None:
            raise ConfigError(
                "no model: give one (a GGUF file, 'demo', the URL of a running server), or set "
                "LLAMA_ROCM_MODEL or LLAMA_URL"
            )
        if url and model:
            load.setdefault("model_name", model)
    if is_url(ref):
        remote = settings.remote(str(ref), remote, named_by) | {
            name: value for name, value in remote.items() if value is not None
        }
    if config is None:
        config = override(LoadConfig(), settings.load(is_url(ref), load) | load)
    else:
        config = override(config, load)
    if generate is None:
        generate = override(GenerateConfig(), settings.generate())
    limits = settings.limits() | limits
    return Plan(ref, config, RemoteConfig(**remote), generate, limits, settings)


def _place(source: str) -> str:
    return source if os.sep in source and not source.endswith(".env") else "environment"


def _address(url: str) -> str:
    return with_scheme(url).rstrip("/").removesuffix("/v1")
