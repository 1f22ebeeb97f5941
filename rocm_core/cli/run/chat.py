"""``llama-rocm chat``: one answer, or a conversation."""

from __future__ import annotations

import argparse
import time
from typing import Any

from rich.text import Text

from rocm_core.cli.console import make_console
from rocm_core.cli.loading import load_progress
from rocm_core.cli.options import (
    add_generation_options,
    add_model_options,
    add_remote_options,
    generation_options,
    load_options,
)
from rocm_core.cli.screen import say, say_answer
from rocm_core.config import GenerateConfig
from rocm_core.errors import RocmError
from rocm_core.model.text_model import TextModel, load_model
from rocm_core.settings import current_settings
from rocm_core.types import Timings, Usage

_HELP = "/exit ends, /clear forgets the conversation, Ctrl-C stops an answer"
_DEMO = "no model given: this is the bundled demo, a tiny one; -m names a GGUF file or org/repo"


def add_command(commands: Any) -> None:
    """Register ``chat``."""
    parser = commands.add_parser(
        "chat",
        help="talk to a model, the bundled demo if none is given",
        usage="%(prog)s [OPTIONS] [PROMPT]",
    )
    parser.add_argument("prompt", nargs="?", help="one prompt; without it, a conversation")
    add_model_options(parser)
    parser.add_argument("--system", help="system prompt")
    add_generation_options(parser)
    add_remote_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Load, then answer the prompt or hold a conversation."""
    given = generation_options(options)
    unset: dict[str, Any] = {"max_tokens": None, "temperature": None}
    config = GenerateConfig(**(unset | current_settings().generate() | given))
    with load_model(_model(options.model), **load_options(options)) as model:
        with load_progress(model.connection.ref.name) as show:
            model.load(show)
        chat = Chat(model, config, options.system)
        if options.prompt is not None:
            chat.say(options.prompt)
            return 130 if chat.stopped else 0
        return _converse(chat)


def _model(given: str | None) -> str | None:
    if given is not None or any(current_settings().target()):
        return given
    say(_DEMO, aside=True)
    return "demo"


def _converse(chat: Chat) -> int:
    say(_HELP, aside=True)
    while True:
        try:
            line = input("> ")
        except EOFError:
            say()
            return 0
        except KeyboardInterrupt:
            say("\n(/exit to leave)", aside=True)
            continue
        command = line.strip()
        if command in ("/exit", "/quit"):
            return 0
        if command == "/clear":
            chat.forget()
        elif command:
            try:
                chat.say(line)
            except RocmError as error:
                say(f"llama-rocm: {error}", aside=True)


class Chat:
    """A conversation; answers are printed as they come, thoughts and speeds go to stderr.

    Attributes:
        stopped: the last answer was stopped by Ctrl-C.
    """

    def __init__(self, model: TextModel, config: GenerateConfig, system: str | None) -> None:
        self.stopped = False
        self._model = model
        self._config = config
        self._opening = [{"role": "system", "content": system}] if system else []
        self._messages = list(self._opening)

    def forget(self) -> None:
        """Start anew."""
        self._messages = list(self._opening)

    def say(self, prompt: str) -> None:
        """Answer ``prompt``. A failed turn leaves the conversation as it was."""
        asked = [*self._messages, {"role": "user", "content": prompt}]
        answer = self._stream(asked)
        self._messages = [*asked, {"role": "assistant", "content": answer}]

    def _stream(self, messages: list[dict[str, str]]) -> str:
        pieces: list[str] = []
        usage: Usage | None = None
        timings: Timings | None = None
        begun, first = time.perf_counter(), None
        self.stopped = False
        show = _Screen()
        events = self._model.chat_events(messages, self._config)
        try:
            for event in events:
                if first is None and (event.text or event.reasoning):
                    first = time.perf_counter() - begun
                show(event.text, event.reasoning)
                pieces.append(event.text)
                usage, timings = event.usage or usage, event.timings or timings
        except KeyboardInterrupt:
            self.stopped = True
        finally:
            say()
        say(_speed(usage, timings, first, self.stopped), aside=True)
        return "".join(pieces)


class _Screen:
    """Shows one turn: the answer on stdout, and nothing else there, so that it can be piped.

    A thought (``reasoning_content``, which llama-server turns on where the template knows it)
    goes to stderr, dimmed, with a line between it and the answer.
    """

    def __init__(self) -> None:
        self._aside = make_console(aside=True, highlight=False, soft_wrap=True)
        self._thought = ""

    def __call__(self, text: str, reasoning: str) -> None:
        if reasoning:
            self._thought = reasoning
            self._aside.print(Text(reasoning, "dim"), end="")
        if text:
            self._end_thought()
            say_answer(text)

    def _end_thought(self) -> None:
        if self._thought:
            self._aside.print("" if self._thought.endswith("\n") else "\n", end="")
            self._aside.rule(style="dim")
            self._thought = ""


def _speed(usage: Usage | None, timings: Timings | None, ttft: float | None, stopped: bool) -> str:
    parts = ["stopped"] if stopped else []
    if usage:
        parts.append(f"{usage.prompt_tokens} prompt + {usage.completion_tokens} answer tokens")
    if timings and timings.predicted_per_second:
        parts.append(f"{timings.predicted_per_second:.1f} tok/s")
    if ttft is not None:
        parts.append(f"TTFT {1000 * ttft:.0f} ms")
    return "[" + ", ".join(parts or ["no answer"]) + "]"
