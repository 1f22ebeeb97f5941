"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from typing import Any

from rocm_core.errors import ConfigError

# Options of LoadConfig that the command line offers; the rest goes through --extra-arg.
_LOAD: tuple[tuple[str, type[Any], str], ...] = (
    ("backend", str, "rocm, cpu, remote or auto (default)"),
    ("engine", str, "binary, embedded or auto (default: a llama-server if there is one)"),
    ("server-path", str, "the llama-server to run"),
    ("context-len", int, "context length of a slot in tokens (default: the model's)"),
    ("gpu-layers", int, "layers on the GPU (default: all)"),
    ("parallel", int, "slots with a context of their own each"),
    ("threads", int, "CPU threads"),
)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """``--model`` and how to load it."""
    parser.add_argument(
        "-m",
        "--model",
        metavar="REF",
        help="GGUF file, directory, org/repo[:quant], URL of a running server, or demo "
        "(default: LLAMA_ROCM_MODEL, LLAMA_URL, or the configuration file)",
    )
    for name, kind, text in _LOAD:
        parser.add_argument(f"--{name}", type=kind, help=text)
    parser.add_argument(
        "--extra-arg", action="append", metavar="ARG", help="one more argument for llama-server"
    )
    parser.add_argument(
        "--device",
        action="append",
        metavar="GPU",
        help="a GPU to use: index, UUID, PCI address or name (default: every card)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show llama-server's log")


_REMOTE: tuple[tuple[str, str], ...] = (
    ("model-name", "the model's name there, if it has several"),
    ("api", "openai, native or auto (default: what it has)"),
    ("ca-file", "PEM file of certificates to trust instead of the usual ones"),
)


def add_remote_options(parser: argparse.ArgumentParser) -> None:
    """How to reach a server that runs already. A key never stands on a command line."""
    group = parser.add_argument_group("for the URL of a running server")
    for name, text in _REMOTE:
        group.add_argument(f"--{name}", help=text)
    add_key_option(group)


def add_key_option(parser: argparse._ActionsContainer) -> None:
    """``--api-key-env``."""
    parser.add_argument(
        "--api-key-env",
        metavar="NAME",
        help="environment variable that holds its key (default: LLAMA_ROCM_API_KEY)",
    )


def key_of(options: argparse.Namespace) -> str | None:
    """The key that ``--api-key-env`` names; ``None`` where it is not given.

    Raises:
        ConfigError: it names a variable that is not set.
    """
    variable = options.api_key_env
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise ConfigError(f"--api-key-env: the variable {variable} is not set")
    return os.environ[variable]


def load_options(options: argparse.Namespace) -> dict[str, Any]:
    """The given options as keyword arguments of ``load_model``; the rest is for the settings.

    Raises:
        ConfigError: ``--api-key-env`` names a variable that is not set.
    """
    names = [name.replace("-", "_") for name, *_ in (*_LOAD, *_REMOTE)] + ["keep_alive"]
    given = {n: value for n in names if (value := getattr(options, n, None)) is not None}
    if options.extra_arg:
        given["extra_args"] = options.extra_arg
    if options.device:
        given["devices"] = options.device
    if "api_key_env" in options and (key := key_of(options)):
        given["api_key"] = key
    return given
