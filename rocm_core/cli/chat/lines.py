"""What the user types, message by message: edited in a terminal, read as it is from a pipe.

A message of several lines begins with three double quotes and ends with three, as in Ollama;
pasted lines stay together, and Alt-Enter begins a new line. Earlier messages come back with arrow
up, also those of earlier sessions (``history`` below, mode 0600).

    $XDG_STATE_HOME/llama-rocm/history     else below ~/.local/state
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from rocm_core.cli.screen import say

PROMPT, MORE = "> ", "... "
_QUOTES = '"""'
# The quotes open a message, or the argument of a command.
_OPENED = re.compile(rf"(?:/\w+\s+(?:system\s+)?)?{_QUOTES}")
_HISTORY = Path("llama-rocm") / "history"
_MOST_HISTORY = 1 << 20
_PLAIN = "for a line editor and a history that stays: pip install 'llama-rocm[chat]'"


class Lines(Protocol):
    """Where messages come from."""

    def read(self) -> str:
        """Return the next message, its quotes removed.

        Raises:
            EOFError: there is none any more.
            KeyboardInterrupt: Ctrl-C; what was typed is dropped.
        """


def open_lines(commands: Collection[str], *, history: bool) -> Lines:
    """Return where messages come from: a line editor in a terminal, else plain input.

    Args:
        commands: what Tab completes.
        history: whether messages are kept for later sessions.
    """
    streams = (sys.stdin, sys.stdout)
    terminal = all(stream is not None and stream.isatty() for stream in streams)
    if not terminal or os.environ.get("TERM") == "dumb":
        return PlainLines()
    if find_spec("prompt_toolkit") is None:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # input() edits lines with it
        say(_PLAIN, aside=True)
        return PlainLines()
    return _EditedLines(commands, history_file() if history else None)


def is_open(text: str) -> bool:
    """Return whether a message's three quotes wait for the three that end it."""
    found = _OPENED.match(text)
    return bool(found) and not text[found.end() :].rstrip().endswith(_QUOTES)  # type: ignore[union-attr]


def unquoted(text: str) -> str:
    """Return a message, or a command with its argument, without the three quotes around it."""
    found = _OPENED.match(text)
    if not found:
        return text
    inside = text[found.end() :].rstrip().removesuffix(_QUOTES)
    return found[0].removesuffix(_QUOTES) + inside.removeprefix("\n").removesuffix("\n")


class PlainLines:
    """Messages of stdin."""

    def read(self) -> str:
        """Return the next message; see ``Lines``."""
        text = input(PROMPT)
        while is_open(text):
            text += "\n" + input(MORE)
        return unquoted(text)


class _EditedLines:
    """Messages of a person at a terminal."""

    def __init__(self, commands: Collection[str], history: Path | None) -> None:
        # Not at the top: a pipe needs none of it.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import FileHistory, InMemoryHistory
        from prompt_toolkit.output import create_output
        from prompt_toolkit.output.vt100 import Vt100_Output
        from prompt_toolkit.shortcuts import CompleteStyle

        output = create_output()
        if isinstance(output, Vt100_Output):
            # Else it asks for the cursor's place, and a slow terminal answers into the answer.
            output.enable_cpr = False

        self._session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history)) if history else InMemoryHistory(),
            multiline=True,
            key_bindings=_keys(),
            prompt_continuation=MORE,
            completer=WordCompleter(sorted(commands), sentence=True),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            output=output,
            enable_open_in_editor=True,
        )

    def read(self) -> str:
        """Return the next message; see ``Lines``."""
        return unquoted(self._session.prompt(PROMPT))


def _keys() -> Any:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _enter(event: Any) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-g")
    def _editor(event: Any) -> None:
        event.current_buffer.open_in_editor()

    return keys


def history_file(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of earlier messages, made if need be; ``None`` if it cannot be written.

    Beyond 1 MiB its older half is dropped.
    """
    try:
        state = env.get("XDG_STATE_HOME")
        path = (Path(state) if state else Path.home() / ".local" / "state") / _HISTORY
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        if path.stat().st_size > _MOST_HISTORY:
            _drop_older_half(path)
    except (OSError, RuntimeError):
        return None
    return path


def _drop_older_half(path: Path) -> None:
    # An entry begins with a comment and has a plus before each line (prompt_toolkit's format).
    text = path.read_bytes()[-_MOST_HISTORY // 2 :]
    path.write_bytes(text[max(text.find(b"\n\n#"), 0) :])


def messages(lines: Lines, hint: str) -> Iterator[str]:
    """Yield every message until the end of the input.

    Args:
        lines: where they come from.
        hint: what is said when Ctrl-C came where there was nothing to stop.
    """
    while True:
        try:
            text = lines.read()
        except EOFError:
            say()
            return
        except KeyboardInterrupt:
            say(f"\n{hint}", aside=True)
            continue
        yield text
