"""``llama-rocm models rm``: delete models from the caches."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from rocm_core.cli.screen import say
from rocm_core.cli.sizes import show_size
from rocm_core.config import nearest
from rocm_core.discover.models import FoundModel, discover_models
from rocm_core.discover.places import hub_folder
from rocm_core.discover.removal import Removal, removal_of, repository_of
from rocm_core.errors import ConfigError, ModelNotFound


def add_command(commands: Any) -> None:
    """Register ``models rm``; the parser of the command line joins the two words."""
    parser = commands.add_parser("models rm", help="delete a model from the cache that holds it")
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="name or path as `llama-rocm models` shows it, or org/repo[:quant]",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Delete what is named, after a question for each; returns 1 if one was kept.

    Raises:
        ConfigError: a model is in use, lies outside of the caches, or a name has several.
        ModelNotFound: no model has that name.
    """
    found = discover_models()
    chosen = [_named(name, found) for name in options.names]
    for model in chosen:
        _check_unused(model)
    removals = [(model, removal_of(model)) for model in chosen]
    kept = False
    for model, removal in removals:
        if options.yes or _agreed(model, removal):
            _delete(removal)
            say(f"deleted {model.name}: {show_size(removal.size)} are free")
        else:
            say(f"kept {model.name}")
            kept = True
    return int(kept)


def _named(name: str, found: list[FoundModel]) -> FoundModel:
    named = [model for model in found if _has_name(model, name)]
    if len({model.path for model in named}) > 1:
        paths = ", ".join(str(model.path) for model in named)
        raise ConfigError(f"{len(named)} models are named {name!r}: give a path of {paths}")
    if not named:
        near = nearest(name, [model.name for model in found])
        hint = f"did you mean {near!r}?" if near else "`llama-rocm models` lists them"
        raise ModelNotFound(f"no model {name!r} in the caches; {hint}")
    return named[0]


def _has_name(model: FoundModel, name: str) -> bool:
    if name in (model.name, str(model.path)) or Path(name).absolute() == model.path.absolute():
        return True
    repository, _, quant = name.partition(":")
    holder = repository_of(model.path)
    if holder is None or holder.name != hub_folder(repository):
        return False
    # As llama-server finds the file of a quantization (common/download.cpp: find_best_model).
    return re.search(re.escape(quant) + "[.-]", model.path.name, re.IGNORECASE) is not None


def _check_unused(model: FoundModel) -> None:
    """Raise if a shared server has the model, or a download of its repository, loaded."""
    from rocm_core.shared.admin import list_servers

    files = {part.resolve() for part in (*model.parts, model.path)}
    holder = repository_of(model.path)
    for server in list_servers():
        ref = server.facts["ref"]
        downloaded = holder is not None and hub_folder(ref.partition(":")[0]) == holder.name
        if downloaded or Path(ref).resolve() in files:
            name, pid = server.facts["model"], server.facts["pid"]
            raise ConfigError(
                f"{model.name} is in use: the shared server {name} (pid {pid}) has it loaded. "
                f"`llama-rocm stop {pid}` ends it"
            )


def _agreed(model: FoundModel, removal: Removal) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"delete {model.name}? Nobody is here to say so: add --yes")
    for file in removal.files:
        say(f"  {file}")
    say(f"delete {model.name} ({show_size(removal.size)})? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _delete(removal: Removal) -> None:
    try:
        removal.perform()
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be deleted: {error.strerror}") from None
