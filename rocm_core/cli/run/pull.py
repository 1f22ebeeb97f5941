"""``llama-rocm models pull``: download a model before it is used."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rocm_core.cli.options import add_option, load_options
from rocm_core.cli.screen import say
from rocm_core.config import LoadConfig, options_of

_OPTIONS = ("engine", "server_path", "environment", "stall_timeout")


def add_command(commands: Any) -> None:
    """Register ``models pull``; the parser of the command line joins the two words."""
    parser = commands.add_parser("models pull", help="download org/repo[:quant], once and for all")
    parser.add_argument("ref", metavar="ORG/REPO[:QUANT]", help="a repository of the hub")
    for name in _OPTIONS:
        add_option(parser, options_of(LoadConfig)[name])
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Download it, with a bar in a terminal; what was here already stays."""
    # Not at the top: every command's parser is made with these modules.
    from rocm_core.model.pull import pull
    from rocm_core.settings import current_settings

    settled = current_settings().load(False, load_options(options))
    config = LoadConfig(**{name: settled[name] for name in _OPTIONS if name in settled})
    try:
        with _bar(options.ref) as show:
            path = pull(options.ref, config, show)
    except KeyboardInterrupt:
        say(f"stopped; `llama-rocm models pull {options.ref}` goes on from here", aside=True)
        return 130
    say(f"{options.ref} is here: {path}")
    return 0


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Callable[[Any], None]]:
    from rich import progress

    from rocm_core.cli.console import make_console

    console = make_console(aside=True)
    if not console.is_terminal:
        say(f"downloading {name}", aside=True)
        yield lambda _so_far: None
        return
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"downloading {name}", total=None)

        def show(so_far: Any) -> None:
            resumed = " (resumed)" if so_far.resumed else ""
            text = f"downloading {name}{resumed}"
            bar.update(task, description=text, completed=so_far.done, total=so_far.total)

        yield show
