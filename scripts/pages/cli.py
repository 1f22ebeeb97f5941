"""The text of ``docs/reference/cli.md``, from the parsers of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from rocm_core.cli import parsers
from rocm_core.cli.hints import COMMANDS
from rocm_core.config.catalog import groups

_HEAD = """\
# Command line

<!-- Generated from rocm_core.cli by `python -m scripts.generate`; change it there. -->

`llama-rocm COMMAND --help` shows the same, with every flag. A flag that is one of
[the options](options.md) is not described again here; each command says which of them it takes. A
flag that is not given comes from the environment or a file of settings.

| command | what it does |
|---|---|
"""
_ELSEWHERE = """
## Commands of other programs

What a command of Ollama or llama.cpp is called here; `llama-rocm` answers with the same words.

| there | here |
|---|---|
"""


def cli() -> str:
    """Return the text of ``docs/reference/cli.md``."""
    root, commands = parsers()
    words = _words(root)
    rows = (f"| [`{name}`](#{name.replace(' ', '-')}) | {words[name]} |\n" for name in commands)
    sections = (line for name, parser in commands.items() for line in _section(name, parser))
    elsewhere = (f"| `{there}` | {_cell(here)} |\n" for there, here in COMMANDS.items())
    return "".join([_HEAD, *rows, *sections, _ELSEWHERE, *elsewhere])


def _words(root: argparse.ArgumentParser) -> dict[str, str]:
    subs = (a for a in root._actions if isinstance(a, argparse._SubParsersAction))
    return {choice.dest: choice.help or "" for sub in subs for choice in sub._choices_actions}


def _section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    actions = [action for action in parser._actions if action.dest != "help"]
    own = [action for action in actions if not _is_option(action)]
    yield f"\n## {name}\n\n"
    shown = " ".join(_positional(action) for action in own if not action.option_strings)
    flags = " [FLAGS]" if any(action.option_strings for action in actions) else ""
    yield f"`{f'llama-rocm {name} {shown}'.strip()}{flags}`\n"
    if own:
        yield "\n| argument | meaning |\n|---|---|\n"
        yield from (f"| {_names(action)} | {_cell(_help(action))} |\n" for action in own)
    if options := list(_options({a.dest for a in actions if a.option_strings})):
        yield f"\nOptions: {'; '.join(options)}.\n"


def _options(given: set[str]) -> Iterator[str]:
    """Yield the declared options that a command takes, a whole group by its title."""
    for title, group in groups().items():
        flags = [name for name, option in group.items() if option.flag]
        taken = [name for name in flags if name in given]
        anchor = re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        link = f"[{title[:1].lower()}{title[1:]}](options.md#{anchor})"
        if len(taken) > 3 and len(taken) >= 0.9 * len(flags):
            yield f"all of {link}"
        elif taken:
            yield f"{', '.join(f'`--{group[name].flag}`' for name in taken)} of {link}"


def _is_option(action: argparse.Action) -> bool:
    return bool(action.option_strings) and any(action.dest in group for group in groups().values())


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest).upper()
    return f"[{name}]" if action.nargs in ("?", "*") else name


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_cell(_positional(action))}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    if action.choices is not None:
        value = " " + "|".join(map(str, action.choices))
    return ", ".join(f"`{flag}{_cell(value)}`" for flag in action.option_strings)


def _help(action: argparse.Action) -> str:
    words = action.help or ""
    return words % vars(action) if "%" in words else words


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
