"""One answer on the screen, and its figures."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from rich.text import Text

from rocm_core.cli.chat.markdown import MarkdownStream
from rocm_core.cli.console import make_console
from rocm_core.cli.screen import say, say_answer, say_spans
from rocm_core.types import StreamEvent, Timings, Usage

_LEAST_WIDTH = 20  # columns; below it every word would have a line of its own


@dataclass(frozen=True)
class Turn:
    """An answer that was shown.

    Attributes:
        text: the answer, without the thoughts.
        stopped: Ctrl-C ended it.
        first: seconds until the first token; ``None`` if none came.
        usage, timings: as the server told them.
    """

    text: str = ""
    stopped: bool = False
    first: float | None = None
    usage: Usage | None = None
    timings: Timings | None = None

    @property
    def figures(self) -> str:
        """Return the tokens and the speed in a line."""
        parts = ["stopped"] if self.stopped else []
        if self.usage:
            answer = f"{self.usage.completion_tokens} answer tokens"
            parts.append(f"{self.usage.prompt_tokens} prompt + {answer}")
        if self.timings and self.timings.predicted_per_second:
            parts.append(f"{self.timings.predicted_per_second:.1f} tok/s")
        if self.first is not None:
            parts.append(f"TTFT {1000 * self.first:.0f} ms")
        return "[" + ", ".join(parts or ["no answer"]) + "]"


def show(events: Generator[StreamEvent, None, None], *, markdown: bool) -> Turn:
    """Show an answer as it comes, and return it; Ctrl-C ends it and frees the server's slot."""
    pieces: list[str] = []
    usage: Usage | None = None
    timings: Timings | None = None
    begun, first, stopped = time.perf_counter(), None, False
    screen = _Screen(markdown=markdown)
    with contextlib.closing(events), _without_echo():
        try:
            for event in events:
                if first is None and (event.text or event.reasoning):
                    first = time.perf_counter() - begun
                pieces.append(event.text)
                screen(event.text, event.reasoning)
                usage, timings = event.usage or usage, event.timings or timings
        except KeyboardInterrupt:
            stopped = True
        finally:
            screen.end()
            say()
    return Turn("".join(pieces), stopped, first, usage, timings)


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """Keep what is typed meanwhile, ^C among it, out of the answer; the next prompt shows it."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        ours = os.tcgetpgrp(terminal) == os.getpgrp()
    except (OSError, ValueError, AttributeError, termios.error):
        ours = False
    if not ours:  # no terminal, or a shell has sent this program to the background
        yield
        return
    silent = list(before)
    silent[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)


def draws_markdown(asked: bool | None) -> bool:
    """Return whether answers are drawn: as asked, else if stdout is a terminal."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return terminal if asked is None else asked


class _Screen:
    """Shows one turn: the answer on stdout, and nothing else there, so that it can be piped.

    A thought (``reasoning_content``, which llama-server turns on where the template knows it)
    goes to stderr, dimmed, with a line between it and the answer.
    """

    def __init__(self, *, markdown: bool) -> None:
        self._aside = make_console(aside=True, highlight=False, soft_wrap=True)
        self._thought = ""
        self._console = make_console()
        width = self._console.width
        self._markdown = MarkdownStream(width if width > _LEAST_WIDTH else 0) if markdown else None

    def __call__(self, text: str, reasoning: str) -> None:
        if reasoning:
            self._thought = reasoning
            self._aside.print(Text(reasoning, "dim"), end="")
        if text:
            self._end_thought()
            if self._markdown:
                say_spans(self._markdown.feed(text), self._console)
            else:
                say_answer(text)

    def end(self) -> None:
        """Show what was held back."""
        if self._markdown:
            say_spans(self._markdown.end(), self._console)

    def _end_thought(self) -> None:
        if self._thought:
            self._aside.print("" if self._thought.endswith("\n") else "\n", end="")
            self._aside.rule(style="dim")
            self._thought = ""
