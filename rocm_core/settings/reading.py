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
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from rocm_core.config import Option, nearest, unknown_option
from rocm_core.config.catalog import setting_options
from rocm_core.errors import ConfigError
from rocm_core.settings.effective import Settings
from rocm_core.settings.names import (
    ALIASES,
    CONFIG_VARIABLE,
    ENVIRONMENT,
    GUARDED,
    PREFIX,
    PROJECT,
    ROUTING_HEADERS,
    variable_of,
)
from rocm_core.settings.trust import read_bounded, trusts

Found = tuple[dict[str, Any], dict[str, str]]
"""Values by option, and the source of each."""


class Content(NamedTuple):
    """What a file sets.

    Attributes:
        values: option to value.
        sources: option to its place in the file.
        unread: options whose text names a variable of the environment (``${NAME}``), which may be a
            secret; they are read from a trusted file only.
    """

    values: dict[str, Any]
    sources: dict[str, str]
    unread: tuple[str, ...] = ()

    @property
    def guarded(self) -> list[str]:
        """The options that count only from a trusted file."""
        routing = ROUTING_HEADERS.intersection(map(str.lower, self.values.get("headers", ())))
        guarded = GUARDED | {"headers"} if routing else GUARDED
        return [*(name for name in self.values if name in guarded), *self.unread]


def read(
    variables: Mapping[str, str], files: Sequence[tuple[Path, int]], trusted: Path
) -> Settings:
    """Read every source; the first that sets an option wins.

    An option that a project's file may not give is as if it did not stand there.

    Args:
        variables: of the environment, ours only.
        files: each with the level of its place, the most important first.
        trusted: the file of what the user trusts.

    Raises:
        ConfigError: a file is unreadable, or a key or value is wrong.
    """
    values, sources = _variables(variables, "the environment", "")
    levels = dict.fromkeys(values, ENVIRONMENT)
    untrusted: dict[str, str] = {}
    for path, place in files:
        data = read_bounded(path)
        # A trusted file is as if the user had written it in the environment.
        level = ENVIRONMENT if place == PROJECT and trusts(trusted, path, data) else place
        found = content_of(path, data, trusted=level != PROJECT)
        new = {name: value for name, value in found.values.items() if name not in values}
        if level == PROJECT and (refused := [n for n in found.guarded if n not in values]):
            untrusted = {name: str(path) for name in refused} | untrusted
            _warn_of_untrusted(path, refused)
            new = {name: value for name, value in new.items() if name not in refused}
        values |= new
        sources |= {name: found.sources[name] for name in new}
        levels |= dict.fromkeys(new, level)
    return Settings(values, sources, levels, untrusted)


def content_of(path: Path, data: bytes, *, trusted: bool) -> Content:
    """Return the options that a file sets.

    Args:
        path: names the kind of file.
        data: its content.
        trusted: whether ``${NAME}`` in a ``.env`` stands for that variable of the environment.

    Raises:
        ConfigError: the file is unreadable, or a key or value is wrong.
    """
    return _dotenv(path, data, trusted) if path.name == ".env" else Content(*_file(path, data))


def _warn_of_untrusted(path: Path, names: Sequence[str]) -> None:
    warnings.warn(
        f"{', '.join(names)} in {path}: not used, because you have not trusted this folder, and "
        "they name programs, code or files, say where requests go, or read your environment. Look "
        "at the file, then: "
        f"llama-rocm trust {path.parent}",
        stacklevel=2,
    )


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


def _dotenv(path: Path, data: bytes, trusted: bool) -> Content:
    if trusted:
        expanded = _dotenv_variables(path, data, expand=True)
        return Content(*_variables(expanded, str(path), f" in {path}"))
    plain = _dotenv_variables(path, data, expand=False)
    # What python-dotenv replaces (``dotenv/variables.py``).
    unread = [name for name, text in plain.items() if "${" in text]
    found = _variables(
        {n: text for n, text in plain.items() if n not in unread}, str(path), f" in {path}"
    )
    options = (ALIASES.get(name, name.removeprefix(PREFIX).lower()) for name in unread)
    return Content(*found, tuple(name for name in options if name in setting_options()))


def _dotenv_variables(path: Path, data: bytes, *, expand: bool) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        text = StringIO(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    read = dotenv_values(stream=text, interpolate=expand)
    variables = {name.upper(): value for name, value in read.items() if value}
    return {n: v for n, v in variables.items() if n in ALIASES or n.startswith(PREFIX)}


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


def _file(path: Path, data: bytes) -> Found:
    known = setting_options()
    values: dict[str, Any] = {}
    for name, value in _parsed(path, data).items():
        if name not in known:
            raise unknown_option(name, list(known), str(path))
        try:
            values[name] = known[name].read(value)
        except ConfigError as error:
            raise _wrong(known[name], f"{name} from {path}", error) from None
    return values, dict.fromkeys(values, str(path))


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    parse = _PARSERS.get(path.suffix)
    if parse is None:
        raise ConfigError(f"{path}: a configuration file is .toml, .yaml or .json")
    try:
        found = parse(data.decode("utf-8"))
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
