"""``llama-rocm config``: every option, its value, and where that came from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rocm_core.cli.options import add_model_options, add_remote_options, load_options
from rocm_core.settings import current_settings

_MASK = "********"
_DEFAULT = "default"


def add_command(commands: Any) -> None:
    """Register ``config``."""
    parser = commands.add_parser(
        "config", help="show every option, its value, and where it came from"
    )
    add_model_options(parser)
    add_remote_options(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the effective options."""
    rows = effective(load_options(options) | ({"model": options.model} if options.model else {}))
    if options.json:
        shown = {name: {"value": value, "source": source} for name, value, source in rows}
        print(json.dumps(shown, indent=2))
        return 0
    width = max(len(name) for name, _, _ in rows)
    for name, value, source in rows:
        print(f"{name:<{width}}  {json.dumps(value):<24}  {source}")
    return 0


def effective(flags: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """``(option, value, source)`` of every option, secrets masked; ``None`` is unset."""
    from rocm_core.settings.schema import OPTIONS  # imports pydantic-settings

    settings = current_settings(complete=True)
    rows = []
    for name, (_, default) in OPTIONS.items():
        if name in flags:
            flag = {"api_key": "api-key-env", "extra_args": "extra-arg"}.get(name, name)
            value, source = flags[name], "--" + flag.replace("_", "-")
        elif name in settings.values:
            value, source = settings.values[name], settings.sources[name]
        else:
            value, source = default, _DEFAULT
        rows.append((name, _shown(name, value), source))
    return rows


def _shown(name: str, value: Any) -> Any:
    if name == "api_key":
        return _MASK if value else None
    if name == "headers":
        return dict.fromkeys(value or {}, _MASK)
    if name in ("base_url", "model") and value and urlsplit(str(value)).password:
        parts = urlsplit(str(value))
        return parts._replace(netloc=f"{_MASK}@{parts.netloc.rpartition('@')[2]}").geturl()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [str(part) for part in value]
    return value
