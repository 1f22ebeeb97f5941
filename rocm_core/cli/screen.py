"""All that a command prints passes here (tables: ``console``): no text commands the terminal."""

from __future__ import annotations

import sys

from rocm_core.terminal import visible


def say(text: object = "", *, aside: bool = False) -> None:
    """Print a line at once.

    Args:
        text: it is shown as ``terminal.visible`` spells it.
        aside: on stderr, which a pipe does not take along.
    """
    stream = sys.stderr if aside else sys.stdout
    if stream is not None:  # a program may be started without one
        print(visible(str(text)), file=stream, flush=True)


def say_answer(text: str) -> None:
    """Print a piece of an answer: to a terminal as ``say`` does, to a file or a pipe as it is."""
    if sys.stdout is not None:
        print(visible(text) if sys.stdout.isatty() else text, end="", flush=True)
