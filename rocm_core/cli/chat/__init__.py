"""``llama-rocm chat``: one answer, or a conversation."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rocm_core.cli.options import (
    add_generation_options,
    add_model_options,
    add_remote_options,
    generation_options,
    load_options,
)
from rocm_core.cli.screen import say
from rocm_core.config import GenerateConfig
from rocm_core.settings import current_settings

_HELP = '/help lists commands, """ begins a message of several lines, /bye or Ctrl-D ends'
_HINT = "(/bye or Ctrl-D ends)"
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
    parser.add_argument(
        "--stdin", action="store_true", help="add what stdin brings to the prompt, or be that"
    )
    parser.add_argument(
        "--markdown",
        action=argparse.BooleanOptionalAction,
        help="draw Markdown (default: in a terminal)",
    )
    parser.add_argument(
        "--no-history", action="store_true", help="keep no messages for later sessions"
    )
    add_generation_options(parser)
    add_remote_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Load, then answer the prompt or hold a conversation."""
    # Not at the top: every command's parser is made with these modules.
    from rocm_core.cli.chat.conversation import Conversation
    from rocm_core.cli.chat.turn import draws_markdown
    from rocm_core.model.text_model import load_model

    given = generation_options(options)
    unset: dict[str, Any] = {"max_tokens": None, "temperature": None}
    config = GenerateConfig(**(unset | current_settings().generate() | given))
    loading = load_options(options)
    model = load_model(_model(options.model), **loading)
    draws = draws_markdown(options.markdown)
    chat = Conversation(model, loading, config, options.system, markdown=draws)
    try:
        chat.load()
        if (prompt := _prompt(options)) is not None:
            return 130 if chat.ask(prompt).stopped else 0
        return _converse(chat, history=not options.no_history)
    finally:
        chat.close()


def _prompt(options: argparse.Namespace) -> str | None:
    # Not read unless it is asked for: the stdin that a program inherits may never end.
    brought = [sys.stdin.read()] if options.stdin and sys.stdin is not None else []
    given = [options.prompt] if options.prompt is not None else []
    return "\n\n".join([*given, *brought]) if given or brought else None


def _model(given: str | None) -> str | None:
    if given is not None or any(current_settings().target()):
        return given
    say(_DEMO, aside=True)
    return "demo"


def _converse(chat: Any, *, history: bool) -> int:
    from rocm_core.cli.chat import commands, lines
    from rocm_core.errors import ContextOverflow, RocmError

    say(_HELP, aside=True)
    source = lines.open_lines([f"/{name}" for name in commands.names()], history=history)
    for text in lines.messages(source, _HINT):
        try:
            goes_on = commands.obeys(chat, text)
            if goes_on is None and text.strip():
                chat.ask(text)
        except KeyboardInterrupt:  # while a model is loaded
            say(_HINT, aside=True)
        except RocmError as error:
            hint = " /clear forgets the conversation." if isinstance(error, ContextOverflow) else ""
            say(f"llama-rocm: {error}{hint}", aside=True)
        else:
            if goes_on is False:
                return 0
    return 0
