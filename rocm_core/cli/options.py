"""Arguments that several commands share; their flags come from the options' declarations."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rocm_core.config import GenerateConfig, LoadConfig, Option, RemoteConfig, Timeouts, options_of
from rocm_core.config.values import Several, Switch
from rocm_core.errors import ConfigError
from rocm_core.settings import current_settings

_ENV = "environment"
_EXTRA = "extra_args"
# One value a flag, whatever it looks like: it may hold commas.
_NEVER_SPLIT = frozenset({_EXTRA, "dry_sequence_breakers", "lora", "stop"})
# Given to another part of load_model than the load options are, or by ``serve`` alone.
_GENERATE = frozenset(name for name, found in options_of(GenerateConfig).items() if found.flag)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--model`` and every option of how to load it."""
    parser.usage = parser.usage or "%(prog)s [OPTIONS]"  # the whole list fills a screen
    parser.add_argument(
        "-m",
        "--model",
        metavar="REF",
        help="GGUF file, directory, org/repo[:quant], URL of a running server, or demo "
        "(default: LLAMA_ROCM_MODEL, LLAMA_URL, or the configuration file)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show llama-server's log")
    group = parser.add_argument_group("how to load (docs/reference/options.md)")
    _add(group, (o for o in options_of(LoadConfig).values() if o.name != "model_name"))


def add_remote_options(parser: argparse.ArgumentParser) -> None:
    """Add how to reach a server that runs already. A key never stands on a command line."""
    group = parser.add_argument_group("for the URL of a running server")
    _add(group, [options_of(LoadConfig)["model_name"], *options_of(RemoteConfig).values()])
    add_key_option(group)
    _add(parser.add_argument_group("how long to wait"), options_of(Timeouts).values())


def add_generation_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of how to generate that makes sense for a whole conversation."""
    group = parser.add_argument_group("how to generate")
    _add(group, options_of(GenerateConfig).values())


def add_key_option(parser: argparse._ActionsContainer, default: str = "LLAMA_ROCM_API_KEY") -> None:
    """Add ``--api-key-env`` and ``--api-key-file``; ``default`` says what holds without them."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--api-key-env",
        metavar="NAME",
        help=f"environment variable that holds its key (default: {default})",
    )
    one.add_argument("--api-key-file", metavar="PATH", help="file that holds its key, alone")


def add_option(
    parser: argparse._ActionsContainer, option: Option, *more_flags: str, **facts: Any
) -> None:
    """Add the flag of one option; it is absent from the result unless somebody gives it.

    Args:
        more_flags: further names of the flag.
        facts: over the keyword arguments of ``add_argument``.
    """
    given: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS}
    given["help"] = option.sentence.rstrip(".").replace("%", "%%")
    if isinstance(option.kind, Switch) and not option.kind.words:
        given["action"] = argparse.BooleanOptionalAction
    elif option.name == _ENV:
        given |= {"action": "append", "metavar": "NAME=VALUE", "type": _pair}
    elif option.name in _NEVER_SPLIT:
        given |= {
            "action": "append",
            "metavar": "ARG" if option.name == _EXTRA else option.kind.placeholder,
        }
        given["type"] = _one_of(option)
    else:
        given |= {"type": _reader(option), "metavar": option.kind.placeholder}
        if isinstance(option.kind, Several):
            given["action"] = "append"
    parser.add_argument(f"--{option.flag}", *more_flags, **(given | facts))


def key_of(options: argparse.Namespace) -> str | None:
    """Return the key that ``--api-key-env`` or ``--api-key-file`` names; ``None`` without them.

    Raises:
        ConfigError: the variable is not set, or the file cannot be read or holds no key.
    """
    variable, file = options.api_key_env, options.api_key_file
    if file is not None:
        return _key_in(Path(file))
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise ConfigError(f"--api-key-env: the variable {variable} is not set")
    return os.environ[variable]


def _key_in(file: Path) -> str:
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--api-key-file: {file} cannot be read: {error}") from None
    if not key or len(key.split()) > 1:
        raise ConfigError(f"--api-key-file: {file} has to hold one key, and nothing else")
    return key


def key_for(options: argparse.Namespace, url: str) -> str | None:
    """Return the key for a server: what ``--api-key-env`` names, else that of the settings.

    A key of the settings is for the server of the settings, if they name one.

    Raises:
        ConfigError: as ``key_of``, or a setting is wrong.
    """
    given = key_of(options)
    return given if given is not None else current_settings().remote(url, {}).get("api_key")


def load_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the given options as keyword arguments of ``load_model``; the settings add the rest.

    Raises:
        ConfigError: as ``key_of``.
    """
    given: dict[str, Any] = {}
    for cls in (LoadConfig, RemoteConfig, Timeouts):
        for option in options_of(cls).values():
            if option.name in options:
                given[option.name] = _value(options, option)
    if _ENV in given:
        given[_ENV] = dict(given[_ENV])
    if "api_key_env" in options and (key := key_of(options)):
        given["api_key"] = key
    return given


def generation_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the given options as keyword arguments of ``GenerateConfig``."""
    declared = options_of(GenerateConfig)
    return {name: _value(options, declared[name]) for name in _GENERATE if name in options}


def _add(group: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    for option in options:
        if option.flag is not None:
            add_option(group, option)


def _value(options: argparse.Namespace, option: Option) -> Any:
    """Return the value of a flag, joined if it may be given several times."""
    value = getattr(options, option.name)
    if not isinstance(option.kind, Several):
        return value
    given = [part for part in value if part is not None]
    return sum(given, ()) if given else None


def _one_of(option: Option) -> Callable[[str], Any]:
    """Read one value of a list; ``none`` empties it, unless an argument may be that."""

    def read(text: str) -> Any:
        empty = text == "none" and option.name != _EXTRA
        return _reader(option)(text) if empty else option.read([text])

    return read


def _reader(option: Option) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return option.read_text(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _pair(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE (NAME alone removes it)")
    return name, value if equals else None
