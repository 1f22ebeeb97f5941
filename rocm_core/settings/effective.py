"""What the settings say for one model, under the arguments that were given. Pure.

Which model, and where, is one decision: whoever names a model or a base URL as an argument gets
neither of them from the settings. A key or a header of the settings goes to the base URL of the
settings only, or to any if they name none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rocm_core.config import (
    GenerateConfig,
    LoadConfig,
    RemoteConfig,
    Timeouts,
    override,
    unknown_option,
)
from rocm_core.errors import ConfigError

LOAD = tuple(f.name for f in fields(LoadConfig) if f.name not in ("model_name",))
REMOTE = tuple(f.name for f in fields(RemoteConfig))
# How to generate, as far as it makes sense for every request; the rest belongs to one call.
GENERATE = (
    "max_tokens", "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty",
    "repeat_last_n", "presence_penalty", "frequency_penalty", "seed", "stop", "top_n_sigma",
    "xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent", "dry_multiplier",
    "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "mirostat",
    "mirostat_tau", "mirostat_eta", "samplers", "min_keep",
)  # fmt: skip
# Names of the limits as the adapters have them → fields of Timeouts.
LIMITS = {
    "timeout": "total",
    "connect_timeout": "connect",
    "first_token_timeout": "first_token",
    "idle_timeout": "idle",
}
TARGET = ("model", "base_url")
# Load options that mean something for a server that runs already.
_FOR_URLS = ("stall_timeout", "max_in_flight", "max_queue", "queue_timeout")


def is_url(ref: str | os.PathLike[str] | None) -> bool:
    """Whether a model reference is the address of a running server."""
    return isinstance(ref, str) and ref.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Settings:
    """What the environment and the files set.

    Attributes:
        values: option to value; only those that are set. Secrets are pydantic ``SecretStr``.
        sources: option to where its value came from, for example ``LLAMA_ROCM_PARALLEL``.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

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
        values = {n: self.values[n] for n in names if n in self.values and n not in given}
        if self.sources.get("server_path") == "ROCM_LLAMA_SERVER_PATH":
            values.pop("server_path", None)  # find_engine reads that, and names it in its errors
        if given.get("engine", values.get("engine")) == "embedded":
            values.pop("server_path", None)  # it runs no program
        if "server_path" in given and values.get("engine") == "embedded":
            values.pop("engine")
        return values

    def remote(self, url: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """How to reach ``url``, under the ``given`` options."""
        own = self.values.get("base_url")
        if own and _address(own) != _address(url):
            return {}
        values = {n: self.values[n] for n in REMOTE if n in self.values and given.get(n) is None}
        return {name: _plain(value) for name, value in values.items()}

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
    """Everything about one model to load."""

    ref: str | os.PathLike[str]
    config: LoadConfig
    remote: RemoteConfig
    generate: GenerateConfig
    settings: Settings

    def timeouts(self, default: Timeouts) -> Timeouts:
        """The limits of the settings over the ``default`` ones."""
        return replace(default, **self.settings.limits())


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
    for name in options:
        if name not in LOAD + REMOTE + ("model_name",):
            known = [*LOAD, *REMOTE, "model_name", "timeouts", "generate"]
            raise unknown_option(name, known, "load_model")
    load = {name: value for name, value in options.items() if name not in REMOTE}
    remote = {name: value for name, value in options.items() if name in REMOTE}
    if ref is None:
        model, url = settings.target()
        ref = url or model
        if ref is None:
            raise ConfigError(
                "no model: give one (a GGUF file, 'demo', the URL of a running server), or set "
                "LLAMA_ROCM_MODEL or LLAMA_URL"
            )
        if url and model:
            load.setdefault("model_name", model)
    if is_url(ref):
        remote = settings.remote(str(ref), remote) | {
            name: value for name, value in remote.items() if value is not None
        }
    if config is None:
        config = override(LoadConfig(), settings.load(is_url(ref), load) | load)
    else:
        config = override(config, load)
    if generate is None:
        generate = override(GenerateConfig(), settings.generate())
    return Plan(ref, config, RemoteConfig(**remote), generate, settings)


def _place(source: str) -> str:
    return source if os.sep in source and not source.endswith(".env") else "environment"


def _address(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


def _plain(value: Any) -> Any:
    """Secrets as they are sent."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
