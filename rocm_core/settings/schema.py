"""The settings as a pydantic-settings model, made from the dataclasses of ``rocm_core.config``.

An option that is added there is a setting at once. This module alone imports pydantic.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

from pydantic import BeforeValidator, SecretStr, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    JsonConfigSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)

from rocm_core.config import GenerateConfig, LoadConfig, RemoteConfig, Timeouts, unknown_option
from rocm_core.errors import ConfigError
from rocm_core.settings.effective import GENERATE, LIMITS, LOAD, REMOTE, Settings
from rocm_core.settings.sources import ALIASES, PREFIX

_NONE = "none"
_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|)\s*$")


class _Base(BaseSettings):
    """Takes what ``read`` has gathered; looks nowhere itself."""

    model_config = SettingsConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
        validate_default=False,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _listed(value: Any) -> Any:
    """``a,b`` or a JSON list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def _seconds(value: Any) -> Any:
    """``30``, ``"30s"``, ``"10m"``."""
    found = _DURATION.match(value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else value


def _annotation(name: str, hint: Any) -> Any:
    if name == "headers":
        return Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_json)]
    if name == "api_key":
        return SecretStr | None
    if name.endswith("timeout"):
        return Annotated[hint, BeforeValidator(_seconds)]
    if get_origin(hint) is Sequence:
        return Annotated[list[str], NoDecode, BeforeValidator(_listed)]
    return hint


def _options() -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {
        "model": (str | None, None),
        "base_url": (str | None, None),
        "model_dir": (Path | None, None),
    }
    chosen = ((RemoteConfig, REMOTE), (LoadConfig, LOAD), (GenerateConfig, GENERATE))
    for cls, names in chosen:
        hints = get_type_hints(cls)
        for option in fields(cls):
            if option.name in names:
                default = option.default
                if option.default_factory is not MISSING:
                    default = option.default_factory()
                found[option.name] = (_annotation(option.name, hints[option.name]), default)
    for name, field in LIMITS.items():
        found[name] = (_annotation(name, float | None), getattr(Timeouts(), field))
    for name in GENERATE:  # unset: the adapters send nothing, TextModel has its contract
        found[name] = (found[name][0], None)
    return found


OPTIONS = _options()
Schema: type[_Base] = create_model("Schema", __base__=_Base, **OPTIONS)  # type: ignore[call-overload]


def read(variables: Mapping[str, str], files: Sequence[Path]) -> Settings:
    """Every source, the first that sets an option winning.

    Args:
        variables: of the environment, ours only.
        files: the most important first.

    Raises:
        ConfigError: a file is unreadable, or a key or value is wrong.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(found: Mapping[str, Any], source: Mapping[str, str]) -> None:
        for name, value in found.items():
            if name not in values:
                values[name], sources[name] = value, source[name]

    _warn_of_unknown(variables, "the environment")
    take(*_variables(variables))
    for path in files:
        if path.name == ".env":
            take(*_dotenv(path))
        else:
            found = _file(path)
            take(found, dict.fromkeys(found, str(path)))
    return Settings(_checked(values, sources), sources)


def _variables(variables: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    found = dict(_EnvironmentSource(variables)())
    for name in OPTIONS:  # the source leaves out what is set to nothing on purpose
        if variables.get(PREFIX + name.upper(), "").lower() == _NONE:
            found[name] = None
    sources = {name: PREFIX + name.upper() for name in found}
    for alias, name in ALIASES.items():
        if name not in found and variables.get(alias):
            found[name], sources[name] = variables[alias], alias
    return found, sources


class _EnvironmentSource(EnvSettingsSource):
    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(Schema, env_prefix=PREFIX)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in self._variables.items() if value.lower() != _NONE}


def _dotenv(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    loaded = DotEnvSettingsSource(Schema, env_file=path, env_ignore_empty=True).env_vars
    variables = {name.upper(): value for name, value in loaded.items() if value}
    ours = {n: v for n, v in variables.items() if n in ALIASES or n.startswith(PREFIX)}
    _warn_of_unknown(ours, str(path))
    found, sources = _variables(ours)
    return found, {name: f"{source} in {path}" for name, source in sources.items()}


def _file(path: Path) -> dict[str, Any]:
    source: Any = {
        ".toml": TomlConfigSettingsSource,
        ".json": JsonConfigSettingsSource,
        ".yaml": YamlConfigSettingsSource,
        ".yml": YamlConfigSettingsSource,
    }.get(path.suffix)
    if source is None:
        raise ConfigError(f"{path}: a configuration file is .toml, .yaml or .json")
    try:
        found: dict[str, Any] = source(Schema, path)()
    except ImportError as error:
        extra = "PyYAML" if path.suffix in (".yaml", ".yml") else "tomli"
        raise ConfigError(f"{path} needs {extra}: pip install {extra.lower()}") from error
    except Exception as error:  # each parser has errors of its own
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    for name in found:
        if name not in OPTIONS:
            raise unknown_option(name, list(OPTIONS), str(path))
    return found


def _warn_of_unknown(variables: Mapping[str, str], where: str) -> None:
    # Not an error: an environment is shared, with other versions of this package too.
    for name in variables:
        option = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and option not in OPTIONS and option != "config":
            near = get_close_matches(option, OPTIONS, n=1)
            hint = f" Did you mean {PREFIX}{near[0].upper()}?" if near else ""
            warnings.warn(f"{name} in {where} is no option of llama-rocm.{hint}", stacklevel=2)


def _checked(values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    try:
        settings = Schema(**values)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(wrong["loc"][0])
        source = sources.get(name, name)
        told = source if name.upper() in source.upper() else f"{name} from {source}"
        raise ConfigError(f"{told}: {wrong['msg']}") from None
    return {name: getattr(settings, name) for name in values}
