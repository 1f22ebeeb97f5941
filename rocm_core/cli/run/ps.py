"""``llama-rocm ps``: the shared servers of this user."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rocm_core.cli.screen import say
from rocm_core.cli.sizes import show_size
from rocm_core.shared.admin import SharedServerInfo, list_servers

_COLUMNS = (
    *("MODEL", "PID", "STATE", "BUILD", "SLOTS", "CONTEXT", "VRAM", "MEMORY", "PROMPT CACHE"),
    *("IDLE", "KEEP-ALIVE LEFT", "ADDRESS", "LOG"),
)


def add_command(commands: Any) -> None:
    """Register ``ps``."""
    parser = commands.add_parser("ps", help="list the servers that keep_alive holds")
    parser.add_argument("--json", action="store_true", help="print facts as JSON")
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Print them; stale entries are swept on the way."""
    servers = list_servers()
    if options.json:
        say(json.dumps([server.facts for server in servers], indent=2))
        return 0
    rows = [list(_COLUMNS), *(_row(server) for server in servers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(server: SharedServerInfo) -> list[str]:
    facts = server.facts
    left = "forever" if facts["keep_alive"] == -1 else _duration(facts["keep_alive_left"])
    return [
        facts["model"],
        _text(facts["pid"]),
        facts["state"],
        _text(facts["build"]),
        f"{_text(facts['slots_busy'])}/{_text(facts['slots_total'])}",
        _text(facts["n_ctx"]),
        _size(facts["vram"]),
        _size(facts["rss"]),
        _size(facts["prompt_cache"]),
        _duration(facts["idle"]),
        left,
        _text(facts["address"]),
        facts["log"],
    ]


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _size(size: int | None) -> str:
    return "-" if size is None else "off" if size == 0 else show_size(size)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
