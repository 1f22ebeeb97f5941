"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from typing import Any

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
        required=True,
        metavar="REF",
        help="GGUF file, directory, org/repo[:quant], URL of a running server, or demo",
    )
    for name, kind, text in _LOAD:
        parser.add_argument(f"--{name}", type=kind, help=text)
    parser.add_argument(
        "--extra-arg", action="append", metavar="ARG", help="one more argument for llama-server"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show llama-server's log")


def load_options(options: argparse.Namespace) -> dict[str, Any]:
    """The given options as keyword arguments of ``LoadConfig``."""
    names = [name.replace("-", "_") for name, _, _ in _LOAD]
    given = {n: value for n in names if (value := getattr(options, n)) is not None}
    if options.extra_arg:
        given["extra_args"] = options.extra_arg
    return given
