"""All that a command prints passes here (tables: ``console``): no text commands the terminal."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rocm_core.terminal import visible

if TYPE_CHECKING:
    from rich.console import Console


def say(text: object = "", *, aside: bool = False, end: str = "\n") -> None:
    """Print a line at once.

    Args:
        text: it is shown as ``terminal.visible`` spells it.
        aside: on stderr, which a pipe does not take along.
        end: what follows the text.
    """
    stream = sys.stderr if aside else sys.stdout
    if stream is not None:  # a program may be started without one
        print(visible(str(text)), file=stream, end=end, flush=True)


def say_answer(text: str) -> None:
    """Print a piece of an answer: to a terminal as ``say`` does, to a file or a pipe as it is."""
    if sys.stdout is not None:
        print(visible(text) if sys.stdout.isatty() else text, end="", flush=True)


def say_spans(spans: Iterable[tuple[str, str]], console: Console | None = None) -> None:
    """Print pieces of text in styles of ``rich``, at once, and without a line break at the end.

    Args:
        spans: texts, shown as ``terminal.visible`` spells them, each with its style (``bold cyan``,
            empty for none). ``NO_COLOR`` leaves no color, a dumb terminal no style at all.
        console: knows what the terminal can show; ``None``: one is made.
    """
    from rich.console import COLOR_SYSTEMS
    from rich.style import Style

    from rocm_core.cli.console import make_console

    console = console or make_console()
    system = COLOR_SYSTEMS.get(console.color_system or "")
    shown = []
    for name, pieces in itertools.groupby(spans, key=lambda span: span[1]):
        text = "".join(text for text, _ in pieces)
        style = Style.parse(name)
        style = style.without_color if console.no_color else style
        shown.append(style.render(visible(text), color_system=system) if name else visible(text))
    if shown and sys.stdout is not None:
        print("".join(shown), end="", flush=True)
