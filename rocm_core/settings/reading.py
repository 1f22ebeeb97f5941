"""Read the sources of settings: variables, ``.env``, and TOML, YAML or JSON files.

Every value is parsed by the option's own parser (``rocm_core.config``), so an option that is
declared there is a setting at once. Wrong values are told with their source and without the value:
what stands there by mistake may be a key.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rocm_core.config import Option, nearest, unknown_option
from rocm_core.config.catalog import setting_options
from rocm_core.errors import ConfigError
from rocm_core.settings.effective import Settings
from rocm_core.settings.names import ALIASES, CONFIG_VARIABLE, PREFIX, variable_of

Found = tuple[dict[str, Any], dict[str, str]]
"""Values by option, and the source of each."""


def read(variables: Mapping[str, str], files: Sequence[Path]) -> Settings:
    """Read every source; the first that sets an option wins.

    Args:
        variables: of the environment, ours only.
        files: the most important first.

    Raises:
        ConfigError: a file is unreadable, or a key or value is wrong.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for found, said in (
        _variables(variables, "the environment", ""),
        *(_dotenv(path) if path.name == ".env" else _file(path) for path in files),
    ):
        for name, value in found.items():
            if name not in values:
                values[name], sources[name] = value, said[name]
    return Settings(values, sources)


# -- text: variables and .env -------------------------------------------------------------------


def _variables(variables: Mapping[str, str], where: str, suffix: str) -> Found:
    _warn_of_unknown(variables, where)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    names = {variable_of(name): name for name in setting_options()}
    for variable, name in {**names, **ALIASES}.items():
        if name not in values and variables.get(variable):
            source = variable + suffix
            values[name] = _text(setting_options()[name], variables[variable], source)
            sources[name] = source
    return values, sources


def _dotenv(path: Path) -> Found:
    from dotenv import dotenv_values

    variables = {n.upper(): v for n, v in dotenv_values(path, encoding="utf-8").items() if v}
    ours = {n: v for n, v in variables.items() if n in ALIASES or n.startswith(PREFIX)}
    return _variables(ours, str(path), f" in {path}")


def _text(option: Option, text: str, source: str) -> Any:
    try:
        return option.read_text(text)
    except ConfigError as error:
        raise _wrong(option, source, error) from None


def _warn_of_unknown(variables: Mapping[str, str], where: str) -> None:
    # Not an error: an environment is shared, with other versions of this package too.
    known = setting_options()
    for name in variables:
        option = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and option not in known and name != CONFIG_VARIABLE:
            near = nearest(option, known)
            hint = f" Did you mean {variable_of(near)}?" if near else ""
            warnings.warn(f"{name} in {where} is no option of llama-rocm.{hint}", stacklevel=2)


# -- files ----------------------------------------------------------------------------------------


def _file(path: Path) -> Found:
    known = setting_options()
    values: dict[str, Any] = {}
    for name, value in _parsed(path).items():
        if name not in known:
            raise unknown_option(name, list(known), str(path))
        try:
            values[name] = known[name].read(value)
        except ConfigError as error:
            raise _wrong(known[name], f"{name} from {path}", error) from None
    return values, dict.fromkeys(values, str(path))


def _parsed(path: Path) -> dict[str, Any]:
    parse = _PARSERS.get(path.suffix)
    if parse is None:
        raise ConfigError(f"{path}: a configuration file is .toml, .yaml or .json")
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except ImportError as error:
        raise ConfigError(f"{path} needs PyYAML: pip install pyyaml") from error
    except Exception as error:  # each parser has errors of its own
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    if found is None:  # an empty YAML file
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{path} cannot be read: it holds no names and values")
    return found


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": _toml,
    ".json": json.loads,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def _wrong(option: Option, source: str, error: ConfigError) -> ConfigError:
    told = source if option.name.upper() in source.upper() else f"{option.name} from {source}"
    return ConfigError(f"{told}: {option.complaint(error.__cause__ or error)}")
