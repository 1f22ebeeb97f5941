"""The command ``llama-rocm``: parse arguments, hand over, turn our errors into plain words."""

from __future__ import annotations

TYPE_CHECKING = False  # as in ``rocm_core``
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 done, 1 an error of ours (told on stderr), 130 ended by Ctrl-C, 141 when
        nobody reads the output any more (``| head``).
    """
    # Nearly all of the first half second goes into imports: Ctrl-C must find this frame.
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return 130


def _run(argv: Sequence[str] | None) -> int:
    import logging
    import os
    import sys
    import warnings

    from rocm_core.cli.screen import say
    from rocm_core.errors import RocmError
    from rocm_core.terminal import visible

    options = _parse(sys.argv[1:] if argv is None else list(argv))
    if getattr(options, "verbose", False):
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_: visible(f"llama-rocm: warning: {message}\n")
    try:
        code: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except RocmError as error:
        say(f"llama-rocm: {error}", aside=True)
        return 1
    except BrokenPipeError:
        # What is left in the buffer would raise once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    finally:
        warnings.formatwarning = usual
    return code


def _parse(argv: list[str]) -> argparse.Namespace:
    parser, commands = parsers()
    from rocm_core.cli.hints import command_hint, flag_hints

    if " ".join(argv[:2]) in commands:  # llama-rocm models pull
        argv = [" ".join(argv[:2]), *argv[2:]]
    name = next((argument for argument in argv if not argument.startswith("-")), None)
    if name is not None and argv[0] == name and name not in commands:
        hint = command_hint(name, commands)
        parser.error(f"there is no command {name!r}. {hint}".rstrip())
    command = commands.get(name or "", parser)
    # argparse would print the key that comes with one, and take -hf for -h.
    misread = [flag for flag in ("--api-key", "-hf") if _has_flag(argv, flag)]
    if misread:
        command.error(" ".join(flag_hints(misread, ())))
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        flags = {flag for action in command._actions for flag in action.option_strings}
        hints = flag_hints(unknown, flags)
        command.error(" ".join([f"unrecognized arguments: {' '.join(unknown)}.", *hints]))
    return options


def _has_flag(argv: list[str], flag: str) -> bool:
    return any(argument.partition("=")[0] == flag for argument in argv)


def parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser, and that of each command by its name."""
    import argparse

    from rocm_core import __version__
    from rocm_core.cli import chat
    from rocm_core.cli.report import bench, config, doctor, explain, fit, models, setup, top
    from rocm_core.cli.run import logs, ps, pull, rm, serve, stop, trust

    parser = argparse.ArgumentParser(
        prog="llama-rocm",
        description="Run a GGUF model with llama.cpp, on an AMD GPU where there is one.",
    )
    parser.add_argument("--version", action="version", version=f"llama-rocm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    reports = (models, pull, rm, fit, top, bench, setup, doctor, explain, config)
    for command in (chat, serve, ps, stop, logs, *reports, trust):
        command.add_command(commands)
    return parser, dict(commands.choices)
