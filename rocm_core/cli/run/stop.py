"""``llama-rocm stop``: end shared servers."""

from __future__ import annotations

import argparse
from typing import Any

from rocm_core.cli.screen import say
from rocm_core.errors import ConfigError
from rocm_core.shared.admin import find_servers, list_servers, stop_server


def add_command(commands: Any) -> None:
    """Register ``stop``."""
    parser = commands.add_parser("stop", help="end a server that keep_alive holds")
    parser.add_argument("server", nargs="?", metavar="NAME|PID", help="model, key or pid (see ps)")
    parser.add_argument("--all", action="store_true", help="every server")
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Stop what is named; requests that are under way get ``ServerStopped``.

    Raises:
        ConfigError: neither a name nor ``--all``, or both; or several servers have that name.
        ModelNotFound: no server by that name.
    """
    if bool(options.server) == options.all:
        raise ConfigError("say which server to stop (see llama-rocm ps), or --all")
    servers = list_servers() if options.all else find_servers(options.server)
    if len(servers) > 1 and not options.all:
        pids = ", ".join(str(server.facts["pid"] or server.key) for server in servers)
        raise ConfigError(
            f"{len(servers)} servers are named {options.server!r}: give a pid ({pids}), or --all"
        )
    for server in servers:
        stop_server(server)
        say(f"stopped {server.facts['model']} (pid {server.facts['pid']})")
    return 0
