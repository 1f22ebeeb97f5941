"""``llama-rocm logs``: what a shared server printed."""

from __future__ import annotations

import argparse
from typing import Any

from rocm_core.cli.screen import say
from rocm_core.shared import rotating_log
from rocm_core.shared.admin import find_servers


def add_command(commands: Any) -> None:
    """Register ``logs``."""
    parser = commands.add_parser("logs", help="show the log of a server that keep_alive holds")
    parser.add_argument("server", metavar="NAME|PID", help="model, key or pid (see ps)")
    parser.add_argument("-f", "--follow", action="store_true", help="wait for more lines")
    parser.add_argument("-n", "--lines", type=int, default=200, help="how many of the last lines")
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Print the last lines, then with ``-f`` every further one until the server ends.

    Raises:
        ModelNotFound: no server by that name.
    """
    log = find_servers(options.server)[0].log
    if options.follow:
        lines = rotating_log.follow(log, lambda: not log.exists(), options.lines)
    else:
        lines = iter(rotating_log.tail(log, options.lines))
    for line in lines:
        say(line)
    return 0
