"""``llama-rocm doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, get_args

from rich.text import Text

from rocm_core.cli.console import make_console
from rocm_core.cli.options import add_key_option, key_for
from rocm_core.cli.screen import say
from rocm_core.config import Api
from rocm_core.doctor import run_doctor, worst
from rocm_core.doctor.endpoint import preflight_url
from rocm_core.types import Check

_MARKS = {
    "ok": ("ok", "green"),
    "warning": ("warn", "yellow"),
    "failed": ("FAIL", "bold red"),
    "skipped": ("skip", "dim"),
}
_WORDS = {
    "ok": "All is well.",
    "warning": "It works, with the warnings above.",
    "failed": "Something does not work; each FAIL says what to do.",
}


def add_command(commands: Any) -> None:
    """Register ``doctor``."""
    parser = commands.add_parser("doctor", help="check driver, GPUs, engines, and a first answer")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per finding, in a list"
    )
    parser.add_argument(
        "--allow-cpu", action="store_true", help="without a usable GPU: warn instead of fail"
    )
    parser.add_argument("--server-path", help="the llama-server to look at")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--root", metavar="DIR", help="look at a recorded machine instead of this one"
    )
    what.add_argument("--url", help="check a running server instead of this machine")
    add_key_option(parser)
    parser.add_argument("--model", help="with --url: the model that should be there")
    parser.add_argument(
        "--api",
        choices=get_args(Api),
        default="auto",
        help="with --url: which endpoints will be used (default: what the server lists)",
    )
    parser.add_argument("--dry-run", action="store_true", help="with --url: ask it for one token")
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Look, tell, and return 0, or 1 if a finding failed."""
    checks = _url(options) if options.url else _machine(options)
    if options.json:
        say(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _show(checks)
    return 1 if worst(checks) == "failed" else 0


def _machine(options: argparse.Namespace) -> list[Check]:
    return run_doctor(
        options.root or "/", allow_cpu=options.allow_cpu, server_path=options.server_path
    )


def _url(options: argparse.Namespace) -> list[Check]:
    return preflight_url(
        options.url,
        key_for(options, options.url),
        model=options.model,
        dry_run=options.dry_run,
        api=options.api,
    )


def _show(checks: Sequence[Check]) -> None:
    console = make_console(highlight=False, soft_wrap=True)
    for check in checks:
        word, style = _MARKS[check.status]
        console.print(Text(f"{word:<5}", style), Text(f"{check.name}: {check.detail}"))
        if check.remedy and check.status in ("failed", "warning"):
            console.print(Text(f"      → {check.remedy}"))
    console.print(_WORDS[worst(checks)])
