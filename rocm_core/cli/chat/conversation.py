"""A conversation with one model at a time: its messages, its options, its figures, its file."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rocm_core.cli.chat.turn import Turn, show
from rocm_core.cli.loading import load_progress
from rocm_core.cli.screen import say
from rocm_core.config import GenerateConfig, options_of
from rocm_core.errors import ConfigError
from rocm_core.model.text_model import TextModel, load_model

_FORMAT = "llama-rocm chat"
_VERSION = 1
_ROLES = ("user", "assistant")
_LARGEST_FILE = 64 << 20


class Conversation:
    """What was said, to which model, and how it is asked.

    Attributes:
        model: the model that answers.
        config: how it generates.
        system: the system prompt; empty for none.
        messages: questions and answers, without the system prompt.
        turns: what was shown, for figures.
        figures: whether the figures are printed after each answer.
    """

    def __init__(
        self,
        model: TextModel,
        options: dict[str, Any],
        config: GenerateConfig,
        system: str | None,
        *,
        markdown: bool,
    ) -> None:
        """Args:
        model: the first model, loaded or not.
        options: how it was loaded, for the next one.
        config, system: as the attributes.
        markdown: whether answers are drawn.
        """
        self.model = model
        self.config = config
        self.system = system or ""
        self.messages: list[dict[str, str]] = []
        self.turns: list[Turn] = []
        self.figures = True
        self._options = options
        self._markdown = markdown

    def load(self) -> None:
        """Start the model's server, with a progress bar."""
        with load_progress(self.model.connection.ref.name) as bar:
            self.model.load(bar)

    def close(self) -> None:
        """Release the model."""
        self.model.close()

    def ask(self, prompt: str) -> Turn:
        """Answer ``prompt``. A turn that fails, or stops before its first word, leaves no trace."""
        asked = [*self.messages, {"role": "user", "content": prompt}]
        opening = [{"role": "system", "content": self.system}] if self.system else []
        events = self.model.chat_events([*opening, *asked], self.config)
        turn = show(events, markdown=self._markdown)
        self.turns.append(turn)
        if turn.text or not turn.stopped:
            self.messages = [*asked, {"role": "assistant", "content": turn.text}]
        if self.figures:
            say(turn.figures, aside=True)
        return turn

    def forget(self) -> None:
        """Start anew, with the same system prompt."""
        self.messages = []

    def use(self, ref: str | None = None, **changes: Any) -> None:
        """Go on with another model. The one before ends first: two may not fit the card.

        Args:
            ref: the other model; ``None``: the same, loaded with ``changes``.
            changes: options of the load, over those of the model before.

        Raises:
            RocmError: it cannot be loaded; the one before is loaded again when it is next asked.
        """
        before, options = self.model, self._options | changes
        following = load_model(ref if ref is not None else before.connection.ref.value, **options)
        before.close()
        self.model = following
        try:
            self.load()
        except BaseException:
            following.close()
            assert before.recipe is not None
            self.model = before.recipe.make()
            raise
        self._options = options

    def set(self, name: str, value: str) -> Any:
        """Set an option of how to generate, as it is written on the command line; return it.

        Raises:
            ConfigError: the value is wrong.
        """
        option = options_of(GenerateConfig)[name]
        read = option.read_text(value)
        self.config = replace(self.config, **{name: read})
        return read

    # -- files ------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the conversation as JSON, readable by its owner alone.

        Raises:
            ConfigError: another program's file is there, or the path cannot be written.
        """
        if path.exists():
            try:
                _read(path)
            except ConfigError:
                raise ConfigError(f"{path} is there, and is no saved conversation") from None
        kept = {"format": _FORMAT, "version": _VERSION, "model": self.model.connection.ref.name}
        kept |= {"system": self.system, "messages": self.messages}
        try:
            _replace(path, json.dumps(kept, ensure_ascii=False, indent=1))
        except (OSError, UnicodeEncodeError) as error:
            raise ConfigError(f"{path} cannot be written: {error}") from None

    def read(self, path: Path) -> str:
        """Take up a saved conversation, in place of this one; return its model's name.

        Raises:
            ConfigError: the file cannot be read, or is no saved conversation.
        """
        kept = _read(path)
        self.system, self.messages = kept["system"], kept["messages"]
        return str(kept["model"])


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    try:
        kept = json.loads(text) if len(text) <= _LARGEST_FILE else None
    except (ValueError, RecursionError):
        kept = None
    if not (isinstance(kept, dict) and kept.get("format") == _FORMAT and _is_whole(kept)):
        raise ConfigError(f"{path} is no conversation that /save wrote")
    if kept.get("version") != _VERSION:
        raise ConfigError(f"{path} was written by another version of llama-rocm chat")
    return kept


def _is_whole(kept: dict[str, Any]) -> bool:
    messages = kept.get("messages")
    texts = isinstance(kept.get("system"), str) and isinstance(kept.get("model"), str)
    return texts and isinstance(messages, list) and all(map(_is_message, messages))


def _is_message(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and set(given) == {"role", "content"}
        and given["role"] in _ROLES
        and isinstance(given["content"], str)
    )


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".chat-")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
