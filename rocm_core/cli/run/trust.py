"""``llama-rocm trust``: let the configuration files of a folder name programs, code and servers."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from rocm_core.cli.screen import say
from rocm_core.config.option import expanded
from rocm_core.errors import ConfigError
from rocm_core.settings.names import CONFIG_VARIABLE, PROJECT
from rocm_core.settings.reading import content_of
from rocm_core.settings.sources import config_files, trust_file
from rocm_core.settings.trust import TrustStore, read_bounded


def add_command(commands: Any) -> None:
    """Register ``trust``."""
    parser = commands.add_parser(
        "trust", help="let a folder's configuration files name programs, code and servers"
    )
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", default=".", help="the folder (default: this one)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show which files are trusted")
    what.add_argument("--revoke", action="store_true", help="trust the files of DIR no longer")
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Trust the files that count in a folder, as they are now; or list, or revoke.

    Raises:
        ConfigError: the folder has no such file, or one cannot be read.
    """
    store, directory = TrustStore(trust_file(os.environ)), expanded(options.directory)
    if options.list:
        _list(store)
        return 0
    if not directory.is_dir():
        raise ConfigError(f"{directory} is no directory")
    if options.revoke:
        ended = store.revoke(directory)
        for path in ended:
            say(f"no longer trusted: {path}")
        if not ended:
            raise ConfigError(
                f"{directory.resolve()}: no file is trusted (llama-rocm trust --list)"
            )
        return 0
    _trust(store, directory.resolve())
    return 0


def _trust(store: TrustStore, directory: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    files = [path for path, level in config_files(env, directory) if level == PROJECT]
    if not files:
        raise ConfigError(f"{directory} has no .env and no llama-rocm.toml (.yaml, .yml, .json)")
    for path in files:
        data = read_bounded(path)
        content = content_of(path, data, trusted=False)
        store.add(path, data)
        free = [name for name in content.values if name not in content.guarded]
        say(f"trusted until it changes: {path}")
        say(f"  counts from now on: {', '.join(content.guarded) or 'nothing new'}")
        say(f"  counted before:     {', '.join(free) or 'nothing'}")


def _list(store: TrustStore) -> None:
    for entry in store.entries():
        changed = "" if store.holds(entry) else "  (changed or gone: not trusted any more)"
        say(f"{entry.path}{changed}")
