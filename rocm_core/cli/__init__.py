"""The command ``llama-rocm``: parse arguments, hand over, turn our errors into plain words."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from rocm_core.errors import RocmError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 done, 1 an error of ours (told on stderr), 130 ended by Ctrl-C, 141 when
        nobody reads the output any more (``| head``).
    """
    options = _parser().parse_args(argv)
    if getattr(options, "verbose", False):
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except RocmError as error:
        print(f"llama-rocm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # What is left in the buffer would raise once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _parser() -> argparse.ArgumentParser:
    from rocm_core.cli.report import bench, config, doctor, fit, models, top
    from rocm_core.cli.run import chat, logs, ps, serve, stop

    parser = argparse.ArgumentParser(
        prog="llama-rocm",
        description="Run a GGUF model with llama.cpp, on an AMD GPU where there is one.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (chat, serve, ps, stop, logs, models, fit, top, bench, doctor, config):
        command.add_command(commands)
    return parser
