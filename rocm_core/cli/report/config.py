"""``llama-rocm config``: every option, its value, and where that came from."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from rocm_core.cli.options import (
    add_generation_options,
    add_model_options,
    add_remote_options,
    generation_options,
    load_options,
)
from rocm_core.cli.screen import say
from rocm_core.config import LoadConfig, Option
from rocm_core.config.catalog import setting_options
from rocm_core.engine.installed.choice import explain_choice
from rocm_core.errors import RocmError
from rocm_core.settings import GENERATE, current_settings

# The options that decide which engine a model gets.
_FOR_ENGINE = ("backend", "devices", "engine", "gpu_layers", "require_gpu", "server_path")
_MASK = "********"
_DEFAULT = "default"
# By its looks alone: what is shown may be no correct URL.
_URL_USER = re.compile(r"(//)[^/?#]*:[^/?#]*@")


def add_command(commands: Any) -> None:
    """Register ``config``."""
    parser = commands.add_parser(
        "config", help="show every option, its value, and where it came from"
    )
    add_model_options(parser)
    add_remote_options(parser)
    add_generation_options(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the effective options."""
    given = load_options(options) | generation_options(options)
    rows = effective(given | ({"model": options.model} if options.model else {}))
    untrusted = current_settings(complete=True).untrusted
    engine = _engine(rows)
    if options.json:
        shown = {name: {"value": value, "source": source} for name, value, source in rows}
        shown["engine"]["chosen"] = engine
        for name, path in untrusted.items():
            shown[name]["untrusted"] = path
        say(json.dumps(shown, indent=2))
        return 0
    width = max(len(name) for name, _, _ in rows)
    for name, value, source in rows:
        say(f"{name:<{width}}  {json.dumps(value):<24}  {source}")
    for name, path in untrusted.items():
        say(f"not trusted: {name} in {path} (llama-rocm trust {Path(path).parent})")
    say(f"\nthe engine of a model: {engine}")
    return 0


def _engine(rows: list[tuple[str, Any, str]]) -> str:
    """Return the engine that a model with these options gets, and why."""
    given = {name: value for name, value, _ in rows if name in _FOR_ENGINE and value is not None}
    try:
        return explain_choice(LoadConfig(**given)).text
    except RocmError as error:
        return f"none: {error}"


def effective(flags: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Return ``(option, value, source)`` of every option, secrets masked; ``None`` is unset.

    How to generate is unset by default: the adapters send nothing, ``TextModel`` has defaults.
    """
    settings = current_settings(complete=True)
    rows = []
    for name, option in setting_options().items():
        unset = option.default if option.adapter_default is ... else option.adapter_default
        if name in flags:
            value, source = flags[name], f"--{option.flag or 'api-key-env'}"
        elif name in settings.values:
            value, source = settings.values[name], settings.sources[name]
        else:
            value, source = unset if name in GENERATE else option.default, _DEFAULT
        rows.append((name, _shown(option, value), source))
    return rows


def _shown(option: Option, value: Any) -> Any:
    name = option.name
    if option.secret:
        names = dict(value or {}) if name != "api_key" else None
        return dict.fromkeys(names, _MASK) if names is not None else (_MASK if value else None)
    if name in ("base_url", "model") and value:
        return _URL_USER.sub(rf"\1{_MASK}@", str(value))
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [str(part) for part in value]
    return value
